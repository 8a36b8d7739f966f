//! `cni-conformance`: tests a directory of CNI plugins.

mod cli;
mod profiles;

use std::fs;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use cli::{Action, Arguments, Compare, Files, Least, Run, Show};
use conformance::attempt::Attempt;
use conformance::isolation::{self, Request};
use conformance::known::{self, KnownFailure};
use conformance::lab::{self, Lab};
use conformance::plan::Selection;
use conformance::report::{self, TableOptions};
use conformance::requirement::Level;
use conformance::requirements::ALL;
use conformance::runner;
use conformance::suite::Suite;
use conformance::trial::{TRIAL, Trial};
use conformance::{Report, compare, delegate, discovery, ipam, kernel_support, signals, trace};

/// The exit status for an error of the kit.
const CANNOT: u8 = 2;

fn main() -> ExitCode {
    if ipam::is_invoked() {
        return ipam::main();
    }
    if let Some(name) = delegate::invoked() {
        return delegate::main(&name);
    }
    if let Some(status) = trace::hidden().or_else(|| isolation::hidden(perform)) {
        return status;
    }
    let arguments = Arguments::parse();
    if let Err(error) = signals::watch() {
        eprintln!("cni-conformance: {error}");
    }
    let status = match arguments.command {
        Action::Run(arguments) => run(&arguments),
        Action::Init(arguments) => profiles::init(&arguments),
        Action::Compare(arguments) => swap(&arguments),
        Action::Report(arguments) => show(&arguments),
        Action::List(list) => {
            print(&if list.markdown { report::markdown(ALL) } else { report::list(ALL) })
        }
        Action::Explain(explain) => ALL
            .find_or_suggest(&explain.id)
            .and_then(|requirement| print(&report::explain(requirement, ALL))),
    };
    status.unwrap_or_else(|error| {
        eprintln!("cni-conformance: {error}");
        ExitCode::from(CANNOT)
    })
}

/// Performs a task for which the kit started itself.
fn perform(request: &Request) -> ExitCode {
    let performed = request
        .perform(|case| runner::test(case, ALL))
        .or_else(|| request.perform(Trial::perform))
        .or_else(|| request.perform(Attempt::perform))
        .or_else(|| request.perform(discovery::AskProgram::perform))
        .or_else(|| request.perform(discovery::AskVersions::perform))
        .or_else(|| request.perform(|kinds| kernel_support::probe(&kinds)))
        .or_else(|| request.perform(|scenario| compare::run(&scenario)));
    performed.unwrap_or_else(|| isolation::broken("the kit does not know this task"))
}

fn run(arguments: &Run) -> Result<ExitCode, String> {
    let folder = runner::absolute(&arguments.bin_dir)?;
    let path: Vec<PathBuf> =
        arguments.path.iter().map(runner::absolute).collect::<Result<_, _>>()?;
    let configs: Vec<PathBuf> =
        arguments.config.iter().map(runner::absolute).collect::<Result<_, _>>()?;
    let label = arguments.label.clone().unwrap_or_else(|| folder.display().to_string());
    let mut command = format!("cni-conformance run --bin-dir {}", word(&folder));
    for (option, values) in [("--path", &path), ("--config", &configs)] {
        values.iter().for_each(|value| command.push_str(&format!(" {option} {}", word(value))));
    }
    let lab = arguments.lab.as_deref().map(Lab::find).transpose()?;
    let selection = Selection {
        suite: Suite { folder: folder.clone(), path: path.clone() },
        label: label.clone(),
        command,
        plugins: arguments.plugins.clone(),
        versions: arguments.spec.clone(),
        only: arguments.only.clone(),
        level: arguments.level.map_or(Level::Expected, Least::level),
        crash: arguments.crash,
        crash_every: arguments.crash_every,
        profiles: configs.iter().map(|file| read(file)).collect::<Result<_, _>>()?,
        jobs: arguments.jobs,
    };
    let known = arguments.known.as_deref().map(known_failures).transpose()?.unwrap_or_default();
    let baseline = arguments.baseline.as_deref().map(read_report).transpose()?;
    let mut report = runner::run(&selection, ALL)?;
    if let Some(lab) = lab.filter(|_| !report.is_incomplete()) {
        report = filled(lab, report, lab_arguments(arguments)?)?;
    }
    known::mark(&mut report, &known, baseline.as_ref());
    print(&report::table(std::slice::from_ref(&report), shown(arguments.verbose)))?;
    // Requirements that the user names count, whatever their level.
    let counts = match arguments.level {
        Some(level) => level.level(),
        None if arguments.only.is_empty() => Level::Must,
        None => Level::Expected,
    };
    let status = exit_status(std::slice::from_ref(&report), counts, arguments.strict);
    let written = if arguments.portable {
        let named = |path: &PathBuf| (path.display().to_string(), last(path));
        let mut folders: Vec<(String, String)> = path.iter().chain(&configs).map(named).collect();
        let name = arguments.label.clone().unwrap_or_else(|| last(&folder));
        folders.push((folder.display().to_string(), name));
        report::portable(&report, &folders)?
    } else {
        report
    };
    if let Some(file) = &arguments.json {
        write(file, &report::text(&written)?)?;
    }
    write_files(&[written], &arguments.files)?;
    Ok(status)
}

/// The known failures of a file, whose requirements must exist.
fn known_failures(file: &Path) -> Result<Vec<KnownFailure>, String> {
    let in_file = |error: String| format!("{}: {error}", file.display());
    let list = KnownFailure::parse_list(&read(file)?).map_err(in_file)?;
    let ids = list.iter().map(|known| known.requirement.as_str());
    let ids = ids.filter(|id| !id.starts_with(TRIAL));
    let unknown = ids.map(|id| ALL.find_or_suggest(id)).find_map(Result::err);
    unknown.map_or(Ok(list), |error| Err(in_file(error)))
}

fn read_report(file: &Path) -> Result<Report, String> {
    let report: Result<Report, _> = serde_json::from_str(&read(file)?);
    report.map_err(|error| format!("{}: not a report of run --json: {error}", file.display()))
}

/// The report, with the outcomes of the cases that ran in the lab.
fn filled(lab: Lab, report: Report, arguments: Vec<String>) -> Result<Report, String> {
    let mut with_lab = report.clone();
    match signals::run_until_signal(move || lab.fill(&mut with_lab, &arguments).map(|()| with_lab))
    {
        Ok(filled) => filled,
        Err(signal) => Ok(report.interrupted_by(
            signal,
            "while the lab ran the cases that this kernel does not support",
        )),
    }
}

/// The arguments of the kit in the lab.
fn lab_arguments(arguments: &Run) -> Result<Vec<String>, String> {
    let files = [
        ("--bin-dir", std::slice::from_ref(&arguments.bin_dir)),
        ("--path", arguments.path.as_slice()),
        ("--config", arguments.config.as_slice()),
    ];
    let mut given = Vec::new();
    for (option, paths) in files {
        for path in paths {
            given.extend([option.to_owned(), lab::absolute(path)?]);
        }
    }
    for (option, values) in [("--spec", &arguments.spec), ("--only", &arguments.only)] {
        if !values.is_empty() {
            given.extend([option.to_owned(), values.join(",")]);
        }
    }
    if let Some(level) = arguments.level.and_then(|level| level.to_possible_value()) {
        given.extend(["--level".to_owned(), level.get_name().to_owned()]);
    }
    given.extend(arguments.crash.then(|| "--crash".to_owned()));
    Ok(given)
}

/// Compares two suites.
fn swap(arguments: &Compare) -> Result<ExitCode, String> {
    let suite =
        |folder| Ok::<_, String>(Suite { folder: runner::absolute(folder)?, path: Vec::new() });
    let comparison = compare::compare(&compare::Selection {
        suites: [suite(&arguments.a)?, suite(&arguments.b)?],
        plugins: arguments.plugins.clone(),
        versions: arguments.spec.clone(),
        profiles: arguments.config.iter().map(|file| read(file)).collect::<Result<_, _>>()?,
        all: arguments.all,
        jobs: arguments.jobs,
    })?;
    print(&compare::text(&comparison, arguments.all, io::stdout().is_terminal()))?;
    if let Some(file) = &arguments.json {
        let text = serde_json::to_string_pretty(&comparison).map_err(|error| error.to_string())?;
        write(file, &format!("{text}\n"))?;
    }
    Ok(match () {
        () if comparison.status.is_some() => ExitCode::from(comparison.status.unwrap_or(CANNOT)),
        () if !comparison.trouble.is_empty() => ExitCode::from(CANNOT),
        () if comparison.differs() => ExitCode::FAILURE,
        () => ExitCode::SUCCESS,
    })
}

fn show(arguments: &Show) -> Result<ExitCode, String> {
    let reports = arguments.reports.iter().map(|file| read_report(file));
    let reports: Vec<Report> = reports.collect::<Result<_, _>>()?;
    print(&report::table(&reports, shown(arguments.verbose)))?;
    write_files(&reports, &arguments.files)?;
    if let Some(folder) = &arguments.verify {
        let other: Vec<String> =
            reports.iter().flat_map(|report| report::differing(report, folder)).collect();
        if !other.is_empty() {
            return Err(format!("other plugins than in the report: {}", other.join("; ")));
        }
    }
    Ok(exit_status(&reports, Level::Must, false))
}

fn write_files(reports: &[Report], files: &Files) -> Result<(), String> {
    if let Some(file) = &files.junit {
        write(file, &report::junit(reports))?;
    }
    if let (Some(file), [report, ..]) = (&files.badge, reports) {
        write(file, &report::badge(report))?;
    }
    if let Some(file) = &files.html {
        write(file, &report::page(reports))?;
    }
    Ok(())
}

fn shown(verbose: bool) -> TableOptions {
    let terminal = io::stdout().is_terminal();
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let size = rustix::termios::tcgetwinsize(io::stdout());
    let width = size.map_or(0, |size| usize::from(size.ws_col));
    TableOptions {
        verbose,
        colour: terminal && !plain,
        width: if width == 0 { 100 } else { width },
    }
}

/// The exit status for reports, for which requirements of level `least` and of more binding ones
/// count. Says why nothing was tested.
fn exit_status(reports: &[Report], least: Level, strict: bool) -> ExitCode {
    let nothing: Vec<String> = reports.iter().filter_map(Report::why_nothing_ran).collect();
    nothing.iter().for_each(|why| eprintln!("cni-conformance: {why}"));
    let counts = || reports.iter().map(Report::count);
    if let Some(status) = reports.iter().find_map(|report| report.status) {
        return ExitCode::from(status);
    }
    match () {
        () if reports.iter().any(|report| report.has_new_failure(|asked| asked.level <= least)) => {
            ExitCode::FAILURE
        }
        () if counts().any(|count| strict && count.untestable > 0) => ExitCode::FAILURE,
        () if reports.iter().any(Report::is_incomplete) => ExitCode::from(CANNOT),
        () if counts().any(|count| count.broken > 0) => ExitCode::from(CANNOT),
        () if !nothing.is_empty() => ExitCode::from(CANNOT),
        () => ExitCode::SUCCESS,
    }
}

/// Prints text. A reader that closes the pipe is not an error.
fn print(text: &str) -> Result<ExitCode, String> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(format!("print: {error}")),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn read(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
}

/// The last component of a path.
fn last(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Quotes a path for a shell.
fn word(path: &Path) -> String {
    let path = path.display().to_string();
    match path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-:,=@+".contains(c)) {
        true => path,
        false => format!("'{}'", path.replace('\'', r"'\''")),
    }
}
