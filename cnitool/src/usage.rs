//! The texts of `--help`.

use libcni::text;

use crate::action::Action;
use crate::lint::suggest::nearest;

/// Every verb: its name, its arguments, and what it does. `scripts/manuals` makes the man page and
/// the completions from the help.
const VERBS: [(&str, Action, &str, &str); 10] = [
    ("add", Action::Add, "NET NETNS", "connect the namespace to the network, and print the result"),
    ("check", Action::Check, "NET NETNS", "compare the attachment with what add created"),
    ("del", Action::Del, "NET NETNS", "disconnect the namespace from the network"),
    ("gc", Action::Gc, "NET", "remove attachments whose namespace no longer exists"),
    ("status", Action::Status, "NET", "tell whether the plugins can serve an add"),
    ("plan", Action::Plan, "NET [NETNS]", "show what add would do, and change nothing"),
    ("repair", Action::Repair, "NET [NETNS]", "restore live attachments to what add created"),
    ("ls", Action::Ls, "[NET]", "show attachments, addresses in use, and likely leaks"),
    ("lint", Action::Lint, "[FILE|DIR]..", "find mistakes in network configurations"),
    (
        "version",
        Action::Version,
        "[NET]",
        "show the CNI versions that cnitool, or each plugin of a network, supports",
    ),
];

const OPTIONS: &str = "
NET is the name of a network in the configuration directory. NETNS is the path of a network
namespace, or its name in `ip netns`.

Options:
  --conf-dir DIR       the directory of the network configurations
                       [variable: NETCONFPATH] [default: /etc/cni/net.d]
  --path DIRS          the directories of the plugins, separated by colons
                       [variable: CNI_PATH] [default: /opt/cni/bin and the directory of cnitool]
  --plugin-dir DIRS    the same as --path
  --cache-dir DIR      the directory of the result cache [default: /var/lib/cni]
  --ifname NAME        the name of the interface in the namespace
                       [variable: CNI_IFNAME] [default: eth0]
  --args K=V;K=V       arguments for the plugins [variable: CNI_ARGS]
  --capabilities JSON  values for runtimeConfig, by capability [variable: CAP_ARGS]
  --container-id ID    the container ID [default: derived from the path of the namespace]
  --timeout SECONDS    the time limit for all plugins together [default: 240]
  --json               print JSON (ls, lint, plan, repair, version)
  -h, --help           print this help; after a verb, the help of the verb
  -V, --version        print the version of cnitool

An option overrides its variable.
";

const GC: &str = "
gc runs DEL for each stale attachment of the network in the cache, and then GC of every plugin,
which also removes what it created for attachments that are not in the cache. Without the options
below, an attachment is stale if its namespace no longer exists.

Options of gc:
  --valid ID/IFNAME    only the named attachments are valid (can be repeated)
  --valid-file FILE    as --valid, for each line of the file
  --all                no attachment is valid: live containers lose their network, as with
                       the reference cnitool
  --dry-run            list what gc would remove, and remove nothing

Without --valid and --all, gc removes nothing if an attachment that looks stale is live or may be
live: its interface exists, and either a process is in its namespace, or this process sees neither a
process nor a mount of the namespace. The exit status is 1 if something that looks leaked remains.
";

/// The verb of this name.
pub fn action(name: &str) -> Option<Action> {
    VERBS.iter().find(|(known, ..)| *known == name).map(|(_, action, ..)| *action)
}

/// The message for an invalid command line: the mistake, and a pointer to the help.
pub fn mistake(problem: &str, action: Option<Action>) -> String {
    let known = VERBS.iter().find(|(_, known, ..)| Some(*known) == action);
    let usage = match known {
        Some((verb, _, words, _)) => format!(
            "usage: cnitool {verb} {words} [OPTIONS]; `cnitool {verb} --help` explains the options"
        ),
        None => "`cnitool --help` lists the verbs and the options".to_owned(),
    };
    format!("cnitool: {}\n{usage}", text::line(problem))
}

/// `; did you mean "check"?`, if a verb is similar.
pub fn nearest_verb(word: &str) -> String {
    meant(nearest(word, VERBS.iter().map(|(verb, ..)| *verb)))
}

/// `; did you mean "--json"?`, if an option is similar.
pub fn nearest_option(option: &str) -> String {
    let texts = VERBS.iter().map(|(_, action, ..)| more(*action)).chain([OPTIONS]);
    let words = texts.flat_map(str::split_whitespace).filter(|word| word.starts_with("--"));
    let is_end = |c: char| !c.is_ascii_alphanumeric() && c != '-';
    meant(nearest(option, words.map(|word| word.trim_end_matches(is_end))))
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!("; did you mean {nearest:?}?"))
}

/// The help text: of a verb, or of all.
pub fn of(action: Option<Action>) -> String {
    let known = VERBS.iter().find(|(_, known, ..)| Some(*known) == action);
    let Some((verb, action, words, about)) = known else {
        let mut text =
            "cnitool connects network namespaces to CNI networks by hand.\n\nVerbs:\n".to_owned();
        for (verb, _, words, about) in VERBS {
            let call = format!("cnitool {verb} {words}");
            text += &format!("  {call:<26}  {about}\n");
        }
        return text + OPTIONS;
    };
    format!("cnitool {verb} {words} [OPTIONS]: {about}\n{}{OPTIONS}", more(*action))
}

/// The details of a verb.
fn more(action: Action) -> &'static str {
    match action {
        Action::Add => {
            "
If a plugin fails, or on Ctrl-C, cnitool rolls back: it runs DEL of all plugins and shows the first
error. The result is kept in the cache for check, del, gc and repair.
"
        }
        Action::Check | Action::Del => {
            "
The arguments come from this call, the result of add from the cache. Any path of the namespace
identifies the attachment. No output means success. If a plugin is missing, del runs the others, and
then fails.
"
        }
        Action::Gc => GC,
        Action::Status => "\nNo output means that the plugins can serve an add.\n",
        Action::Plan => {
            "
plan marks existing objects, and fails where add would fail. For a namespace that is attached, it
shows what the attachment consists of. PLAN is a verb of ferrocni: for plugins of other suites, plan
shows nothing. Without NETNS, names that derive from the container ID are those of the container
`cnitool-plan`.
"
        }
        Action::Repair => {
            "
Without NETNS, repair covers every attachment of the network in the cache. REPAIR is a verb of
ferrocni: if the network has a plugin of another suite, CHECK then reports the remaining
differences.
"
        }
        Action::Ls => {
            "
ls shows the attachments in the cache, the addresses in use of host-local's pools and their holders,
and what looks leaked, with the remedy. It changes nothing. Leaks are not an error: the exit status
is 1 only if something could not be read. COLUMNS sets the width of the output, NO_COLOR disables
colours.
"
        }
        Action::Lint => {
            "
Without a file or directory, lint reads the configuration directory. The file `-` is standard input:
a network, or NetworkAttachmentDefinitions (kubectl get net-attach-def -A -o yaml). An error is what
a runtime or plugin rejects; a warning is accepted, but harmful or not as intended; a note is worth
knowing. The exit status is 1 if there is an error.

Options of lint:
  --strict             treat warnings as errors
  --no-host            ignore this host: its routes and links, and its plugins unless --path
                       or CNI_PATH is set
"
        }
        Action::Version => "",
    }
}
