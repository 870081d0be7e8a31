//! Columns that line up.

/// The rows as lines, each column as wide as its widest cell and two spaces from the next. The first row is usually the
/// header. Lines end without spaces and with a line feed; no rows give an empty text.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::table;

    fn of(rows: &[&[&str]]) -> String {
        table(&rows.iter().map(|row| row.iter().map(|cell| cell.to_string()).collect()).collect::<Vec<_>>())
    }

    #[test]
    fn columns_line_up() {
        let text =
            of(&[&["NAME", "ROLE", "STATE"], &["m1", "master", "ready"], &["worker-01", "", "not ready"], &["é"]]);
        assert_eq!(text, "NAME       ROLE    STATE\nm1         master  ready\nworker-01          not ready\né\n");
    }

    #[test]
    fn nothing_is_nothing() {
        assert_eq!(of(&[]), "");
    }
}
