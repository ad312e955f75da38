//! Lists for people: columns, and how long ago something was. Not what is listed.

use std::time::Duration;

/// For people: how long ago.
pub(crate) fn ago(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..60 => format!("{seconds} s ago"),
        seconds @ 60..3_600 => format!("{} min ago", seconds / 60),
        seconds @ 3_600..86_400 => format!("{} h ago", seconds / 3_600),
        seconds => format!("{} d ago", seconds / 86_400),
    }
}

/// Columns as wide as their widest cell, two blanks apart. Cells before the last hold no character wider than one column.
pub(crate) fn table<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_hangs_over() {
        let row = |cells: [&str; 5]| cells.map(str::to_owned);
        let rows = [
            row(["equities/us", "12D3", "7", "-", "kept"]),
            row(["x", "-", "-", "-", "-"]),
        ];
        assert_eq!(
            table(&rows),
            "equities/us  12D3  7  -  kept\nx            -     -  -  -\n"
        );
        assert_eq!(table::<5>(&[]), "");
    }

    #[test]
    fn ages_are_for_people() {
        let told = [0, 59, 60, 3_599, 7_200, 200_000].map(|seconds| ago(Duration::from_secs(seconds)));
        assert_eq!(
            told,
            ["0 s ago", "59 s ago", "1 min ago", "59 min ago", "2 h ago", "2 d ago"]
        );
    }
}
