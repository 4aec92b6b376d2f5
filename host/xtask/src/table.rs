//! The table at the end of a task that had many parts.

/// Lines of equally many cells, the first column flush left, the others flush right.
pub(crate) fn render(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let mut cells = line.iter().zip(&widths).enumerate();
        let padded = cells.by_ref().map(|(column, (cell, width))| match column {
            0 => format!("{cell:width$}"),
            _ => format!("{cell:>width$}"),
        });
        text.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let lines = [
            ["level", "passed"],
            ["rules", "1203"],
            ["a longer one", "7"],
        ];
        let lines: Vec<Vec<String>> = lines
            .iter()
            .map(|line| line.map(str::to_owned).to_vec())
            .collect();
        let expected = "level         passed\nrules           1203\na longer one       7\n";
        assert_eq!(render(&lines), expected);
    }
}
