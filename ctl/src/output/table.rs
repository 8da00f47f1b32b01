//! Tables for people: no lines, so that columns can be cut and pasted; as wide as the terminal, and as wide as they like
//! where there is none.

use comfy_table::{Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Table, Width, presets};

use super::paint::{Stream, Tone};

/// Columns between two cells.
const GAP: u16 = 2;
/// A column is never squeezed below this where the terminal is narrow: one letter per line cannot be read.
const NARROWEST: u16 = 8;

/// A cell, and how it is meant.
pub(crate) struct Field(String, Tone);

impl Field {
    pub(crate) fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self(text.into(), tone)
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
        fit(&mut table);
    }
    if !Stream::Stdout.has_colours() {
        table.force_no_tty();
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// Wraps cells where the terminal is narrower than the table.
fn fit(table: &mut Table) {
    let Some(width) = table.width() else { return };
    table.set_width(width).set_content_arrangement(ContentArrangement::Dynamic);
    let widths = table.column_max_content_widths();
    for (column, widest) in table.column_iter_mut().zip(widths) {
        let least = widest.min(NARROWEST) + column.padding_width();
        column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(least)));
    }
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
