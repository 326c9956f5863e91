//! Everything that a run of `cargo xtask bench` found, as it is written to `results.json`.

use serde::{Deserialize, Serialize};

use crate::{
    Problem,
    allocations::Allocations,
    floors, herd, hot_path,
    interleave::{self, Kind, Plan, Setting, Subject},
    keyed,
    machine::Machine,
    statistics::Figure,
};

/// Of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// What it was measured on.
    pub machine: Machine,
    /// The hot path, with each allocator; the first one is the system's.
    pub hot_path: Vec<HotPath>,
    /// The keyed path.
    pub keyed: Vec<keyed::Row>,
    /// The herd.
    pub herd: herd::Herd,
}

/// The hot path of everyone in one process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HotPath {
    /// Which allocator the process had.
    pub allocator: String,
    /// Who calls at the same time: the columns.
    pub settings: Vec<String>,
    /// A row for each subject.
    pub rows: Vec<Row>,
}

/// Of one subject.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What it is called.
    pub subject: String,
    /// Whose work it is.
    pub kind: Kind,
    /// Those of an operation; counted in a process of its own, since it takes time.
    pub allocations: Option<Allocations>,
    /// One for each setting.
    pub figures: Vec<Figure>,
}

impl Row {
    /// The least time in the setting of that column.
    #[must_use]
    pub fn min(&self, column: usize) -> Option<f64> {
        Some(self.figures.get(column)?.min)
    }
}

impl HotPath {
    /// Measures floors, ours and these others in each setting.
    ///
    /// # Errors
    ///
    /// If somebody has no token.
    pub fn measure(allocator: &str, subjects: &[Subject], plan: Plan) -> Result<Self, Problem> {
        let settings = Setting::all(Machine::cores());
        let row = |subject: &Subject| Row {
            subject: subject.name.clone(),
            kind: subject.kind,
            allocations: None,
            figures: Vec::new(),
        };
        let mut rows: Vec<Row> = subjects.iter().map(row).collect();
        for setting in &settings {
            let figures = interleave::measure(subjects, *setting, plan)?;
            for (row, figure) in rows.iter_mut().zip(figures) {
                row.figures.push(figure);
            }
        }
        Ok(Self {
            allocator: allocator.to_owned(),
            settings: settings.iter().map(Setting::to_string).collect(),
            rows,
        })
    }

    /// Takes in what was counted of each subject.
    pub fn count(&mut self, counted: &[(String, Allocations)]) {
        for row in &mut self.rows {
            let is_this = |(name, _): &&(String, Allocations)| *name == row.subject;
            row.allocations = counted.iter().find(is_this).map(|(_, counts)| *counts);
        }
    }

    /// The row of the floor that ours is compared with.
    #[must_use]
    pub fn floor(&self) -> Option<&Row> {
        self.row(floors::HOT_PATH)
    }

    /// The row of the call that others are compared with.
    #[must_use]
    pub fn ours(&self) -> Option<&Row> {
        self.row(hot_path::CALL)
    }

    fn row(&self, subject: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.subject == subject)
    }

    /// The fastest rival in the setting of that column, by the least times.
    #[must_use]
    pub fn best_rival(&self, column: usize) -> Option<(&Row, f64)> {
        let rivals = self.rows.iter().filter(|row| row.kind == Kind::Rival);
        let times = rivals.filter_map(|row| Some((row, row.min(column)?)));
        times.min_by(|(_, one), (_, other)| one.total_cmp(other))
    }
}

/// Floors and ours, to which a program adds others.
///
/// # Errors
///
/// If no token is to be had.
pub fn subjects() -> Result<Vec<Subject>, Problem> {
    let mut subjects = floors::hot_path()?;
    subjects.extend(hot_path::ours()?);
    Ok(subjects)
}

#[cfg(test)]
pub(crate) mod samples {
    //! Results as one may find them.

    use super::*;
    use crate::{herd::Herd, keyed::Order};

    fn figure(min: f64) -> Figure {
        Figure {
            min,
            median: min * 1.25,
        }
    }

    fn row(subject: &str, kind: Kind, count: u64, minima: [f64; 3]) -> Row {
        Row {
            subject: subject.to_owned(),
            kind,
            allocations: Some(Allocations {
                count,
                bytes: 300 * count,
            }),
            figures: minima.map(figure).to_vec(),
        }
    }

    /// All good.
    pub(crate) fn results() -> Results {
        let hot_path = |allocator: &str| HotPath {
            allocator: allocator.to_owned(),
            settings: ["1 thread", "2 threads", "8 tasks on 2 workers"]
                .map(str::to_owned)
                .to_vec(),
            rows: vec![
                row(floors::HOT_PATH, Kind::Floor, 0, [32.0, 30.0, 31.0]),
                row("16 slots, no clock", Kind::Floor, 0, [23.0, 22.0, 23.0]),
                row(hot_path::CALL, Kind::Ours, 0, [30.0, 31.0, 32.0]),
                row("authorization().await", Kind::Ours, 0, [33.0, 34.0, 33.0]),
                row("careful client", Kind::Rival, 7, [240.0, 380.0, 360.0]),
                row("other client", Kind::Rival, 3, [297.0, 1266.0, 1229.0]),
            ],
        };
        let keyed = |(keys, order, ours, map)| keyed::Row {
            keys,
            order,
            ours: figure(ours),
            map: figure(map),
            hot_path: figure(30.0),
            memory: figure(2.0),
        };
        Results {
            machine: Machine {
                processor: "A Processor".to_owned(),
                cores: 2,
                system: "linux x86_64".to_owned(),
                compiler: "rustc 1.95.0".to_owned(),
                date: "2026-11-30".to_owned(),
            },
            hot_path: vec![hot_path("system"), hot_path("mimalloc")],
            keyed: [
                (1, Order::InTurn, 50.0, 30.0),
                (1_000, Order::InTurn, 70.0, 40.0),
                (1_000, Order::Zipf, 75.0, 45.0),
                (1_000, Order::Random, 80.0, 50.0),
                (100_000, Order::InTurn, 115.0, 90.0),
                (100_000, Order::Random, 300.0, 240.0),
            ]
            .map(keyed)
            .to_vec(),
            herd: Herd {
                callers: 10_000,
                requests: 1,
                ours: 60.0,
                floor: 57.0,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        let results = samples::results();
        let text = serde_json::to_string_pretty(&results).unwrap();
        assert_eq!(serde_json::from_str::<Results>(&text).unwrap(), results);
    }

    #[test]
    fn the_best_rival_is_the_fastest_of_each_column() {
        let results = samples::results();
        let hot_path = &results.hot_path[0];
        let best = |column| {
            hot_path
                .best_rival(column)
                .map(|(row, min)| (&*row.subject, min))
        };
        assert_eq!(best(0), Some(("careful client", 240.0)));
        assert_eq!(best(2), Some(("careful client", 360.0)));
        assert_eq!(best(3), None);
    }

    #[test]
    fn counts_go_to_the_rows_of_their_subjects() {
        let mut hot_path = samples::results().hot_path.remove(0);
        let counts = Allocations {
            count: 9,
            bytes: 99,
        };
        hot_path.count(&[("other client".to_owned(), counts)]);
        let counted: Vec<_> = hot_path.rows.iter().map(|row| row.allocations).collect();
        assert_eq!(counted, [None, None, None, None, None, Some(counts)]);
    }
}
