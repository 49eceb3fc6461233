//! How is a password given? Unseen at a terminal, as a line of a pipe elsewhere.

use std::io::{BufRead as _, IsTerminal as _};

use anyhow::Context as _;

/// Whether somebody sits there who can be asked.
pub fn is_typed() -> bool {
    std::io::stdin().is_terminal()
}

/// The password that is typed after a prompt, or the next line of standard input.
///
/// # Errors
/// When there is none.
pub fn read(prompt: &str) -> anyhow::Result<String> {
    if is_typed() {
        return rpassword::prompt_password(prompt).context("no password could be read");
    }
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("no password could be read")?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}
