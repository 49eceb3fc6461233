//! Where does a statement end, in what a person types or a file holds?

/// What the shell is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A statement, without its semicolon.
    Sql(String),
    /// A line that begins with a backslash.
    Meta(String),
}

/// The inputs that are whole, and where the rest begins. A line that begins with a backslash is one by itself, unless it stands
/// within a statement.
pub fn split(text: &str) -> (Vec<Input>, usize) {
    let (mut inputs, mut from) = (Vec::new(), 0);
    loop {
        let rest = &text[from..];
        let blank = rest.len() - rest.trim_start().len();
        if rest[blank..].starts_with('\\') {
            let end = rest[blank..].find('\n').map_or(rest.len(), |line| blank + line + 1);
            inputs.push(Input::Meta(rest[blank..end].trim().to_owned()));
            from += end;
            continue;
        }
        let Some(end) = end_of_statement(rest) else { return (inputs, from) };
        if !is_blank(&rest[..end]) {
            inputs.push(Input::Sql(rest[..end].trim().to_owned()));
        }
        from += end + 1;
    }
}

/// Whether there is nothing but white space and comments.
pub fn is_blank(text: &str) -> bool {
    let mut scan = Scan::new(text);
    scan.all(|(_, part, letter)| part == Part::Comment || letter.is_whitespace())
}

/// The semicolon that stands in no text and no comment.
fn end_of_statement(text: &str) -> Option<usize> {
    Scan::new(text).find(|(_, part, letter)| *part == Part::Code && *letter == ';').map(|(at, ..)| at)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Code,
    Quoted,
    Comment,
}

/// The letters of a text, each with where it stands and in what.
struct Scan<'t> {
    text: &'t str,
    at: usize,
    within: Option<Within>,
}

#[derive(Clone, Copy)]
enum Within {
    Quotes(char),
    Line,
    /// So many comments deep.
    Block(usize),
}

impl<'t> Scan<'t> {
    fn new(text: &'t str) -> Self {
        Self { text, at: 0, within: None }
    }
}

impl Iterator for Scan<'_> {
    type Item = (usize, Part, char);

    fn next(&mut self) -> Option<Self::Item> {
        let (rest, at) = (&self.text[self.at..], self.at);
        let letter = rest.chars().next()?;
        let mut length = letter.len_utf8();
        let part = match self.within {
            None if letter == '\'' || letter == '"' => {
                self.within = Some(Within::Quotes(letter));
                Part::Quoted
            }
            None if rest.starts_with("--") => {
                self.within = Some(Within::Line);
                Part::Comment
            }
            None if rest.starts_with("/*") => {
                (self.within, length) = (Some(Within::Block(1)), 2);
                Part::Comment
            }
            None => Part::Code,
            Some(Within::Quotes(quote)) => {
                // A doubled quote ends one text and begins the next.
                self.within = self.within.filter(|_| letter != quote);
                Part::Quoted
            }
            Some(Within::Line) => {
                self.within = self.within.filter(|_| letter != '\n');
                Part::Comment
            }
            Some(Within::Block(depth)) => {
                if rest.starts_with("/*") {
                    (self.within, length) = (Some(Within::Block(depth + 1)), 2);
                } else if rest.starts_with("*/") {
                    (self.within, length) = ((depth > 1).then_some(Within::Block(depth - 1)), 2);
                }
                Part::Comment
            }
        };
        self.at += length;
        Some((at, part, letter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> (Vec<Input>, &str) {
        let (inputs, rest) = split(text);
        (inputs, &text[rest..])
    }

    #[test]
    fn a_semicolon_ends_a_statement_unless_it_is_quoted_or_commented() {
        let sql = |text: &str| Input::Sql(text.to_owned());
        assert_eq!(all("SELECT 1; SELECT\n 2 ;"), (vec![sql("SELECT 1"), sql("SELECT\n 2")], ""));
        assert_eq!(all("SELECT 'a;''b;', \"c;\" -- d;\n /* e; /* f; */ ; */ ; SEL").0.len(), 1);
        assert_eq!(all("SELECT 'ü;'; rest").1, " rest");
        assert_eq!(all(";; -- nothing\n;"), (vec![], ""));
        assert_eq!(all("SELECT 'open;"), (vec![], "SELECT 'open;"));
    }

    #[test]
    fn a_backslash_begins_a_command_between_statements_alone() {
        let (inputs, rest) = all("\\timing\nSELECT 1;\n \\d imu\nSELECT '\n\\q\n'");
        assert_eq!(inputs, [Input::Meta(r"\timing".into()), Input::Sql("SELECT 1".into()), Input::Meta(r"\d imu".into())]);
        assert_eq!(rest, "SELECT '\n\\q\n'");
    }

    #[test]
    fn comments_alone_are_no_statement() {
        assert!(is_blank(" -- a\n/* b */ \n") && !is_blank("-- a\nb") && is_blank(""));
    }
}
