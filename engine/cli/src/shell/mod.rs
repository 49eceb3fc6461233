//! A shell over the tables: statements and commands one after another, typed by a person or read from a pipe.

mod asked;
mod complete;
mod meta;
mod show;
mod statements;

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use arrow_array::RecordBatch;
use arrow_cast::display::array_value_to_string;
use futures::StreamExt as _;
use proprio_tables::is_subscription;
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{CompletionType, Config, Editor};

pub use asked::Asked;
use complete::{Names, Typing};
use meta::{COMMANDS, Meta};
pub use show::Show;
use statements::{Input, is_blank, split};

const PROMPT: &str = "proprio> ";
/// Files that include files end somewhere.
const INCLUDED_MAX: usize = 16;
/// Lines of history that are kept.
const HISTORY_MAX: usize = 10_000;
const TABLES: &str = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE' \
                      ORDER BY table_name";
const COLUMNS: &str = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'";
const FUNCTIONS: &str = "SELECT DISTINCT routine_name FROM information_schema.routines";

/// A shell at work.
pub struct Shell {
    asked: Asked,
    show: Show,
    timing: bool,
    /// The last statement, to be watched.
    last: Option<String>,
    failed: bool,
}

/// Whether more is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    GoOn,
    Quit,
}

impl Shell {
    /// A shell that asks and shows in this way.
    pub fn new(asked: Asked, show: Show) -> Self {
        Self { asked, show, timing: false, last: None, failed: false }
    }

    /// Reads statements from a person at a terminal until they leave. Errors are told, and end nothing.
    ///
    /// # Errors
    /// When the terminal can't be used.
    pub async fn talk(mut self) -> anyhow::Result<()> {
        let config = Config::builder().completion_type(CompletionType::List).max_history_size(HISTORY_MAX)?.auto_add_history(true).build();
        let mut editor: Editor<Typing, DefaultHistory> = Editor::with_config(config).context("the terminal can't be used")?;
        editor.set_helper(Some(Typing { names: self.names().await }));
        let history = history_file();
        if let Some(file) = &history {
            // The first time there is none.
            let _ = editor.load_history(file);
        }
        println!(r"Statements end with `;`. `\?` lists what else there is.");
        loop {
            self.show.screen = editor.dimensions().map(|(columns, rows)| (usize::from(columns), usize::from(rows)));
            // The editor waits for the person; others go on meanwhile.
            match tokio::task::block_in_place(|| editor.readline(PROMPT)) {
                Ok(line) => {
                    if self.take(&line, 0).await == Then::Quit {
                        break;
                    }
                }
                Err(ReadlineError::Interrupted) => {}
                Err(ReadlineError::Eof) => break,
                Err(error) => return Err(error).context("the terminal can't be read"),
            }
        }
        if let Some(file) = &history
            && let Err(error) = editor.save_history(file)
        {
            tracing::warn!("the history can't be kept in {}: {error}", file.display());
        }
        self.asked.close().await;
        Ok(())
    }

    /// Asks the statements of standard input, and gives whether none failed. Errors are told, and end nothing.
    ///
    /// # Errors
    /// When it can't be read.
    pub async fn pipe(mut self) -> anyhow::Result<bool> {
        let mut text = String::new();
        tokio::task::block_in_place(|| std::io::stdin().read_to_string(&mut text)).context("standard input can't be read")?;
        self.take(&text, 0).await;
        self.asked.close().await;
        Ok(!self.failed)
    }

    /// Does everything that a text asks for; its last statement may lack its end.
    async fn take(&mut self, text: &str, included: usize) -> Then {
        let (mut inputs, rest) = split(text);
        if !is_blank(&text[rest..]) {
            inputs.push(Input::Sql(text[rest..].trim().to_owned()));
        }
        for input in inputs {
            let done = match input {
                Input::Sql(statement) => self.ask(&statement).await.map(|()| Then::GoOn),
                Input::Meta(line) => match Meta::parse(&line) {
                    Ok(meta) => Box::pin(self.obey(meta, included)).await,
                    Err(wrong) => Err(anyhow::anyhow!(wrong)),
                },
            };
            match done {
                Ok(Then::GoOn) => {}
                Ok(Then::Quit) => return Then::Quit,
                Err(error) => {
                    self.failed = true;
                    eprintln!("error: {error:#}");
                }
            }
        }
        Then::GoOn
    }

    async fn ask(&mut self, statement: &str) -> anyhow::Result<()> {
        self.last = Some(statement.to_owned());
        let begun = Instant::now();
        if is_subscription(statement) {
            return follow(&self.asked, &mut self.show, statement).await;
        }
        let batches = self.answer(statement).await?;
        let took = begun.elapsed();
        self.show.answer(&batches)?;
        if self.timing {
            println!("Time: {:.1} ms", took.as_secs_f64() * 1e3);
        }
        Ok(())
    }

    /// The answer, unless Ctrl-C comes first.
    async fn answer(&self, statement: &str) -> anyhow::Result<Vec<RecordBatch>> {
        tokio::select! {
            answer = self.asked.ask(statement) => answer,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted.context("Ctrl-C can't be heard")?;
                anyhow::bail!("cancelled")
            }
        }
    }

    async fn obey(&mut self, meta: Meta, included: usize) -> anyhow::Result<Then> {
        match meta {
            Meta::Quit => return Ok(Then::Quit),
            Meta::Help => COMMANDS.iter().for_each(|(command, does)| println!("{command:<18} {does}")),
            Meta::Tables => self.tell(TABLES).await?,
            Meta::Describe(table) => self.tell(&format!("DESCRIBE \"{}\"", table.replace('"', "\"\""))).await?,
            Meta::Functions(part) => self.tell(&functions(&part)).await?,
            Meta::Timing => {
                self.timing = !self.timing;
                println!("Timing is {}.", on_or_off(self.timing));
            }
            Meta::Expanded => {
                self.show.expanded = !self.show.expanded;
                println!("A line for each column is {}.", on_or_off(self.show.expanded));
            }
            Meta::Format(format) => self.show.format = format,
            Meta::Output(path) => self.show.output(path.as_deref())?,
            Meta::Watch(every) => self.watch(every).await?,
            Meta::Include(path) => {
                anyhow::ensure!(included < INCLUDED_MAX, "{} is the {INCLUDED_MAX}th file within files", path.display());
                let text = fs::read_to_string(&path).with_context(|| format!("{} can't be read", path.display()))?;
                return Ok(self.take(&text, included + 1).await);
            }
        }
        Ok(Then::GoOn)
    }

    /// Asks what a command stands for, and shows it as any answer; it is no statement to be watched.
    async fn tell(&mut self, statement: &str) -> anyhow::Result<()> {
        let batches = self.answer(statement).await?;
        self.show.answer(&batches)
    }

    /// Asks the last statement until Ctrl-C.
    async fn watch(&mut self, every: Duration) -> anyhow::Result<()> {
        let statement = self.last.clone().context("there is no statement to watch yet")?;
        anyhow::ensure!(!is_subscription(&statement), "SUBSCRIBE gives rows as they come, by itself");
        let screen = self.show.screen.take();
        let watched = async {
            loop {
                println!("{}", chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).format("%Y-%m-%d %H:%M:%SZ"));
                let batches = self.asked.ask(&statement).await?;
                self.show.answer(&batches)?;
                tokio::time::sleep(every).await;
            }
        };
        let ended: anyhow::Result<()> = tokio::select! {
            ended = watched => ended,
            interrupted = tokio::signal::ctrl_c() => interrupted.context("Ctrl-C can't be heard"),
        };
        self.show.screen = screen;
        ended
    }

    /// What can be named; nothing where that can't be learnt.
    async fn names(&self) -> Names {
        let mut names = Names::default();
        for row in self.texts(COLUMNS).await {
            if let [table, column] = &row[..] {
                names.columns.entry(table.clone()).or_default().push(column.clone());
            }
        }
        names.functions = self.texts(FUNCTIONS).await.into_iter().flatten().collect();
        names
    }

    async fn texts(&self, statement: &str) -> Vec<Vec<String>> {
        let batches = self.asked.ask(statement).await.unwrap_or_else(|error| {
            tracing::warn!("names can't be completed: {error:#}");
            Vec::new()
        });
        let row = |batch: &RecordBatch, row: usize| -> Vec<String> {
            batch.columns().iter().map(|column| array_value_to_string(column, row).unwrap_or_default()).collect()
        };
        batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |at| row(batch, at))).collect()
    }
}

/// Writes the rows of a `SUBSCRIBE` as they come, until Ctrl-C.
///
/// # Errors
/// When it is refused, ends by itself, or can't be written.
pub async fn follow(asked: &Asked, show: &mut Show, statement: &str) -> anyhow::Result<()> {
    let mut answer = asked.follow(statement).await?;
    let mut shown = show.following(answer.schema.clone())?;
    // Heard all along: one that comes while rows are written would be lost on a listener per batch.
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    loop {
        tokio::select! {
            batch = answer.batches.next() => match batch.transpose()? {
                Some(batch) => {
                    if !show::is_read(shown.write(&batch))? {
                        return Ok(());
                    }
                }
                None => break,
            },
            interrupted = &mut interrupted => {
                interrupted.context("Ctrl-C can't be heard")?;
                // The terminal has written `^C` where the next line begins.
                eprintln!();
                break;
            }
        }
    }
    show::is_read(shown.finish()).map(drop)
}

fn functions(part: &str) -> String {
    let like = part.replace('\'', "''").to_lowercase();
    format!(
        "SELECT DISTINCT routine_name AS function, lower(function_type) AS kind, syntax_example AS syntax \
         FROM information_schema.routines WHERE strpos(routine_name, '{like}') > 0 ORDER BY function, kind, syntax"
    )
}

fn on_or_off(is_on: bool) -> &'static str {
    if is_on { "on" } else { "off" }
}

/// Where the history is kept: the user's state folder, which is made when absent.
fn history_file() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|folder| folder.is_absolute());
    let state = folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local/state")))?.join("proprio");
    match fs::create_dir_all(&state) {
        Ok(()) => Some(state.join("sql_history")),
        Err(error) => {
            tracing::warn!("there is no history: {} can't be made: {error}", Path::display(&state));
            None
        }
    }
}
