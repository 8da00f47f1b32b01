//! Tables for people: no lines, so that columns can be cut and pasted; as wide as the terminal, and as wide as they like
//! where there is none.

use comfy_table::{Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Table, Width, presets};

use super::paint::{Stream, Tone};
use super::visible::visible;

/// Columns between two cells.
const GAP: u16 = 2;
/// A column is not squeezed below this where the terminal is narrow: one letter per line cannot be read.
const NARROWEST: u16 = 8;
/// Unless there is no room for the words of the first column: what a row is of is copied from there.
const NARROWEST_BESIDE: u16 = 4;
/// Words up to this long stay whole where there is room for that: names and addresses are copied.
const WORD: u16 = 32;

/// A cell, on one line, and how it is meant.
pub(crate) struct Field(String, Tone);

impl Field {
    pub(crate) fn new(text: impl Into<String>, tone: Tone) -> Self {
        let text = text.into();
        Self(visible(&text).into_owned(), tone)
    }
}

impl<T: Into<String>> From<T> for Field {
    fn from(text: T) -> Self {
        Self::new(text, Tone::Plain)
    }
}

/// Lays rows out for stdout. On a terminal, columns that are empty in every row are left out.
pub(crate) fn table<const N: usize, F: Into<Field>>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [F; N]>,
) -> String {
    let rows: Vec<[Field; N]> = rows.into_iter().map(|row| row.map(Into::into)).collect();
    let is_terminal = Stream::Stdout.is_terminal();
    let says = |column: &usize| rows.iter().any(|row| !row[*column].0.is_empty());
    let shown: Vec<usize> = (0..N).filter(|column| !is_terminal || says(column)).collect();
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(shown.iter().map(|column| styled(header[*column], Tone::Strong)));
    for row in &rows {
        table.add_row(shown.iter().map(|column| styled(&row[*column].0, row[*column].1)));
    }
    let last = shown.len().saturating_sub(1);
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if at == last { 0 } else { GAP }));
    }
    if is_terminal {
        let words: Vec<u16> = shown.iter().map(|column| longest_word(header[*column], &rows, *column)).collect();
        if !fit(&mut table, &words) {
            return paragraphs(&header, &rows, &shown);
        }
    }
    drawn(table)
}

fn drawn(mut table: Table) -> String {
    if !Stream::Stdout.has_colours() {
        table.force_no_tty();
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// For terminals too narrow for the columns: a paragraph per row, with a line per cell that says something.
fn paragraphs<const N: usize>(header: &[&str; N], rows: &[[Field; N]], shown: &[usize]) -> String {
    let paragraph = |row: &[Field; N]| {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        for column in shown.iter().filter(|column| !row[**column].0.is_empty()) {
            table.add_row([styled(header[*column], Tone::Strong), styled(&row[*column].0, row[*column].1)]);
        }
        for (column, gap) in table.column_iter_mut().zip([GAP, 0]) {
            column.set_padding((0, gap));
        }
        table.set_content_arrangement(ContentArrangement::Dynamic);
        drawn(table)
    };
    rows.iter().map(paragraph).collect::<Vec<_>>().join("\n\n")
}

/// Wraps cells where the terminal is narrower than the table: between words, as long as there is room for the longest. `false`: it
/// is too narrow even so.
fn fit(table: &mut Table, words: &[u16]) -> bool {
    let Some(width) = table.width() else { return true };
    table.set_width(width).set_content_arrangement(ContentArrangement::Dynamic);
    let Some(least) = least_widths(width, &table.column_max_content_widths(), words) else { return false };
    for (column, least) in table.column_iter_mut().zip(least) {
        column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(least + column.padding_width())));
    }
    true
}

/// Below which columns of these widths, with words as long as these, are not squeezed on a terminal of this width;
/// `None`: it has no room for them.
fn least_widths(width: u16, widest: &[u16], words: &[u16]) -> Option<Vec<u16>> {
    let gaps = GAP * u16::try_from(widest.len().saturating_sub(1)).unwrap_or(u16::MAX);
    let fits = |widths: &[u16]| widths.iter().sum::<u16>().saturating_add(gaps) <= width;
    let with_others = |narrowest: u16| -> Vec<u16> {
        let others = widest.iter().skip(1).map(|widest| *widest.min(&narrowest));
        words.iter().take(1).copied().chain(others).collect()
    };
    let choices = [words.to_vec(), with_others(NARROWEST), with_others(NARROWEST_BESIDE)];
    choices.into_iter().find(|choice| fits(choice))
}

/// The longest word of a column.
fn longest_word<const N: usize>(header: &str, rows: &[[Field; N]], column: usize) -> u16 {
    let words = rows.iter().flat_map(|row| row[column].0.split_whitespace()).chain([header]);
    let longest = words.map(|word| word.chars().count()).max().unwrap_or_default();
    u16::try_from(longest).unwrap_or(u16::MAX).min(WORD)
}

fn styled(text: &str, tone: Tone) -> Cell {
    let cell = Cell::new(text);
    match tone {
        Tone::Plain => cell,
        Tone::Good => cell.fg(Color::DarkGreen),
        Tone::Notice => cell.fg(Color::DarkYellow),
        Tone::Bad => cell.fg(Color::DarkRed),
        Tone::Quiet => cell.add_attribute(Attribute::Dim),
        Tone::Strong => cell.add_attribute(Attribute::Bold),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rows_are_of_stays_whole_on_narrow_terminals() {
        // session, principal, client, protocol, servers, began, used, open, kept
        let (widest, words) = ([27, 20, 10, 10, 9, 9, 9, 4, 6], [27, 20, 6, 10, 9, 5, 5, 4, 6]);
        for (width, others) in [(120, &words[1..]), (105, &[8, 8, 8, 8, 8, 8, 4, 6]), (80, &[4; 8])] {
            let least = least_widths(width, &widest, &words).unwrap();
            assert_eq!((least[0], &least[1..]), (27, others), "{width}");
        }
        assert_eq!(least_widths(40, &widest, &words), None);
    }
}
