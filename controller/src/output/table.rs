//! Tables for people.

use anstyle::{AnsiColor, Style};

/// Where the text of a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// How a cell is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it stands.
    Plain,
    /// All is well.
    Good,
    /// To be looked at.
    Doubtful,
    /// Something is wrong.
    Bad,
}

impl Tone {
    /// The text in this tone's colour; taken out again where no colours are wanted.
    pub(crate) fn paint(self, text: &str) -> String {
        let style = match self {
            Self::Plain => return text.to_owned(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Doubtful => AnsiColor::Yellow.on_default(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
        };
        format!("{style}{text}{style:#}")
    }
}

/// One field of a table.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    pub(crate) fn toned(text: impl ToString, tone: Tone) -> Self {
        Self { text: text.to_string(), tone }
    }
}

impl<T: ToString> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

/// Rows under titles, as wide as their contents.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<Cell>>,
}

/// Between two columns.
const GAP: &str = "  ";

impl Table {
    pub(crate) fn new(columns: &[(&'static str, Align)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; what has no column is not shown.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// The table as text, one line a row.
    pub(crate) fn text(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            let longest = cells.map(|cell| length(&cell.text)).max().unwrap_or(0);
            longest.max(self.columns.get(column).map_or(0, |(title, _)| length(title)))
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let titles: Vec<Cell> = self.columns.iter().map(|(title, _)| Cell::from(*title)).collect();
        let mut text = self.line(&titles, &widths, Style::new().bold());
        for row in &self.rows {
            text.push_str(&self.line(row, &widths, Style::new()));
        }
        text
    }

    fn line(&self, cells: &[Cell], widths: &[usize], style: Style) -> String {
        let mut line = String::new();
        for (index, (cell, ((_, align), width))) in
            cells.iter().zip(self.columns.iter().zip(widths)).enumerate()
        {
            if index > 0 {
                line.push_str(GAP);
            }
            let padding = " ".repeat(width.saturating_sub(length(&cell.text)));
            let painted = cell.tone.paint(&cell.text);
            match align {
                Align::Left => line.push_str(&format!("{painted}{padding}")),
                Align::Right => line.push_str(&format!("{padding}{painted}")),
            }
        }
        format!("{style}{}{style:#}\n", line.trim_end())
    }
}

/// Columns that a text takes: names and numbers are letters one column wide.
fn length(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_whatever_their_colour() {
        let mut table = Table::new(&[("ID", Align::Left), ("LOST", Align::Right)]);
        table.row(vec![Cell::toned("a → b", Tone::Good), Cell::from(7)]);
        table.row(vec![Cell::from("c"), Cell::toned(12_345, Tone::Bad)]);
        let plain = anstream::adapter::strip_str(&table.text()).to_string();
        assert_eq!(plain, "ID      LOST\na → b      7\nc      12345\n");
    }

    #[test]
    fn no_line_ends_in_blanks() {
        let mut table = Table::new(&[("NAME", Align::Left), ("NOTE", Align::Left)]);
        table.row(vec![Cell::from("x"), Cell::from("")]);
        let plain = anstream::adapter::strip_str(&table.text()).to_string();
        assert_eq!(plain, "NAME  NOTE\nx\n");
    }
}
