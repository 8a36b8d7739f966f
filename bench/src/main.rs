//! Measures plugins beside others (`scripts/bench`).
use std::path::{Path, PathBuf};

use clap::Parser;

use bench::cases::CASES;
use bench::contestant::{Contestant, Kind};
use bench::stage::{Stage, Turn};

#[derive(Debug, Parser)]
struct Arguments {
    /// The folder with this project's binaries
    #[arg(long, value_name = "DIR")]
    ours: PathBuf,
    /// A folder with somebody else's plugins; may be given several times
    #[arg(long, value_name = "[LABEL=]DIR")]
    peer: Vec<String>,
    /// Only the cases whose names begin so
    #[arg(long, value_name = "CASE,..", value_delimiter = ',')]
    only: Vec<String>,
    /// Fewer cases
    #[arg(long)]
    quick: bool,
}

fn main() -> std::process::ExitCode {
    match work() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn work() -> Result<(), String> {
    let me = std::env::current_exe().map_err(|error| error.to_string())?;
    let tools = me.parent().unwrap_or(Path::new("."));
    let Arguments { ours, peer, only, quick } = Arguments::parse();
    let mut all = vec![Contestant { label: "ferrocni".to_owned(), kind: Kind::Ours(ours) }];
    all.extend(peer.iter().map(|given| Contestant::peer(given)));
    all.push(Contestant { label: "floor".to_owned(), kind: Kind::Floor(tools.join("floor")) });
    let chosen =
        |id: &str| only.is_empty() || only.iter().any(|start| id.starts_with(start.as_str()));
    for case in CASES.iter().filter(|case| chosen(case.id) && (case.quick || !quick)) {
        let who = Contestant::of_case(&all, case);
        let stages: Vec<Stage> =
            who.iter().map(|who| Stage::new(case, who, &tools.join("launch"))).collect();
        let mut samples = vec![Vec::new(); stages.len()];
        for round in 0..case.rounds + 2 {
            for (stage, samples) in stages.iter().zip(&mut samples) {
                let ran = stage.turn(Turn::Round)?;
                if round >= 2 {
                    samples.push(ran);
                }
            }
        }
        for (place, verb) in case.verbs.iter().enumerate() {
            for (who, samples) in who.iter().zip(&samples) {
                let mut walls: Vec<u64> = samples
                    .iter()
                    .filter_map(|ran| ran.get(place))
                    .filter_map(|ran| ran.calls.first().map(|call| call.end - call.start))
                    .collect();
                walls.sort_unstable();
                let at = |part: usize| {
                    walls.get(walls.len() * part / 100).copied().unwrap_or(0) as f64 / 1e6
                };
                let mut cpu: Vec<u64> =
                    samples.iter().filter_map(|ran| ran.get(place)).map(|ran| ran.cpu).collect();
                cpu.sort_unstable();
                let cpu = cpu.get(cpu.len() / 2).copied().unwrap_or(0) as f64 / 1e6;
                let rss = samples.iter().filter_map(|ran| ran.get(place)).map(|ran| ran.rss).max();
                println!(
                    "{:14} {:7} {:16} {:8.2} ms  [{:.2} .. {:.2}]  min {:.2}  cpu {cpu:.2} ms  rss {} KiB",
                    case.id,
                    verb.name(),
                    who.label,
                    at(50),
                    at(10),
                    at(90),
                    at(0),
                    rss.unwrap_or(0)
                );
            }
        }
    }
    Ok(())
}
