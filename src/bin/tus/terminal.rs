use std::io;

use console::Term;
use indicatif::TermLike;

/// Standard error, with the cursor a bit left of the margin between two frames: for `^C` a terminal then
/// begins no new line, from which the bars above would be looked for in vain.
#[derive(Debug)]
pub(crate) struct Canvas(Term);

impl Canvas {
    pub(crate) fn stderr() -> Self {
        Self(Term::buffered_stderr())
    }
}

/// Columns of `^C`, and one more: the cursor stands on the last column and behind it at once.
const MARGIN: usize = 3;

impl TermLike for Canvas {
    fn width(&self) -> u16 {
        let (_, columns) = self.0.size();
        columns
    }

    fn height(&self) -> u16 {
        let (rows, _) = self.0.size();
        rows
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_up(n)
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_down(n)
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_right(n)
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_left(n)
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.0.write_line(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.0.write_str(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.0.clear_line()
    }

    fn flush(&self) -> io::Result<()> {
        self.0.move_cursor_left(MARGIN)?;
        self.0.flush()
    }
}
