//! A bench's figures: a table for people, and JSON for the plot.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

/// The directory that JSON files go to, one a bench.
const JSON_VARIABLE: &str = "BENCH_JSON";

/// What a bench has measured.
pub(crate) struct Report {
    bench: &'static str,
    file_system: String,
    rows: Vec<Row>,
}

/// The figures of one contestant, by their names.
#[derive(Clone, Default)]
pub(crate) struct Row {
    name: String,
    figures: Vec<(&'static str, f64)>,
}

impl Row {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            figures: Vec::new(),
        }
    }

    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, figure: f64) -> Self {
        self.figures.push((name, figure));
        self
    }
}

impl Report {
    pub(crate) fn new(bench: &'static str, file_system: String) -> Self {
        Self {
            bench,
            file_system,
            rows: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Prints the table, with a new head wherever the columns change, and writes the JSON file.
    pub(crate) fn finish(self) {
        println!("\n{}, interleaved, on {}", self.bench, self.file_system);
        let name_len = self.rows.iter().map(|row| row.name.len()).max();
        let name_len = name_len.unwrap_or_default();
        let mut head = Vec::new();
        for row in &self.rows {
            let names: Vec<_> = row.figures.iter().map(|(name, _)| *name).collect();
            if names != head {
                print!("{:<name_len$}", "");
                for name in &names {
                    print!("  {name:>12}");
                }
                println!();
                head = names;
            }
            print!("{:<name_len$}", row.name);
            for (name, figure) in &row.figures {
                let digits = match figure.abs() {
                    _ if *name == "writers" => 0,
                    size if size >= 1000.0 => 0,
                    size if size >= 10.0 => 1,
                    _ => 3,
                };
                print!("  {figure:>12.digits$}");
            }
            println!();
        }
        self.write_json();
    }

    /// Writes the JSON file if the environment names a directory for it.
    pub(crate) fn write_json(self) {
        if let Some(dir) = std::env::var_os(JSON_VARIABLE) {
            self.write(&PathBuf::from(dir));
        }
    }

    fn write(self, dir: &std::path::Path) {
        let rows = self.rows.into_iter().map(|row| {
            let mut object = Map::from_iter([("name".to_owned(), json!(row.name))]);
            object.extend(
                row.figures
                    .iter()
                    .map(|(name, figure)| ((*name).to_owned(), json!(figure))),
            );
            Value::Object(object)
        });
        let rows = rows.collect();
        let report = json!({
            "bench": self.bench,
            "file_system": self.file_system,
            "processor": processor(),
            "kernel": kernel(),
            "rows": Value::Array(rows),
        });
        let path = dir.join(self.bench).with_extension("json");
        let text = serde_json::to_string_pretty(&report).expect("numbers and strings");
        std::fs::create_dir_all(dir)
            .and_then(|()| std::fs::write(&path, text + "\n"))
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        println!("written to {}", path.display());
    }
}

fn processor() -> String {
    let count = std::thread::available_parallelism().map_or(0, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown", |model| {
        model.trim_start_matches([' ', '\t', ':'])
    });
    format!("{count} x {model}")
}

fn kernel() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease");
    release.map_or_else(|_| "unknown".into(), |release| release.trim().into())
}
