//! What `--help` says.

use crate::args::Action;

/// Every verb: its name, what follows it, what it does.
const VERBS: [(&str, Action, &str, &str); 10] = [
    ("add", Action::Add, "NET NETNS", "join the namespace to the network and print the result"),
    ("check", Action::Check, "NET NETNS", "is the attachment as add left it?"),
    ("del", Action::Del, "NET NETNS", "take the namespace out of the network"),
    ("gc", Action::Gc, "NET", "remove attachments whose namespace is gone"),
    ("status", Action::Status, "NET", "could an add be served?"),
    ("plan", Action::Plan, "NET [NETNS]", "show what add would do, and touch nothing"),
    ("repair", Action::Repair, "NET [NETNS]", "make live attachments again what add left"),
    ("ls", Action::Ls, "[NET]", "show what is attached, what is taken, and what looks leaked"),
    ("lint", Action::Lint, "[FILE|DIR]..", "find what is wrong with configurations"),
    (
        "version",
        Action::Version,
        "[NET]",
        "the versions of CNI that are spoken here, or by a network's plugins",
    ),
];

const OPTIONS: &str = "
NET    the name of a network in the configuration folder
NETNS  the path of a network namespace, or a name as in `ip netns`

Options, each stronger than the variable behind it:
  --conf-dir DIR       where networks are configured       NETCONFPATH  /etc/cni/net.d
  --path DIRS          where plugins are, with `:` between  CNI_PATH     /opt/cni/bin
                       (also --plugin-dir)                               and the folder of cnitool
  --cache-dir DIR      where results are kept                           /var/lib/cni
  --ifname NAME        the interface in the namespace      CNI_IFNAME   eth0
  --args K=V;K=V       arguments for the plugins           CNI_ARGS
  --capabilities JSON  values for runtimeConfig            CAP_ARGS
  --container-id ID    instead of one made from the namespace's path
  --timeout SECONDS    for all plugins together            240
  --json               print JSON (ls, lint, plan, repair, version)
  -h, --help           this text; after a verb, what it does
";

/// The verb of this name.
pub fn action(name: &str) -> Option<Action> {
    VERBS.iter().find(|(known, ..)| *known == name).map(|(_, action, ..)| *action)
}

/// The help text: of a verb, or of all.
pub fn of(action: Option<Action>) -> String {
    let known = VERBS.iter().find(|(_, known, ..)| Some(*known) == action);
    let Some((verb, action, words, about)) = known else {
        let mut text = "cnitool: join network namespaces to CNI networks by hand\n\n".to_owned();
        for (verb, _, words, about) in VERBS {
            text += &format!("  cnitool {verb:<7} {words:<11}  {about}\n");
        }
        return text + OPTIONS;
    };
    format!("cnitool {verb} {words} [OPTIONS]: {about}\n{}{OPTIONS}", more(*action))
}

/// What is worth knowing about a verb beyond its line.
fn more(action: Action) -> &'static str {
    match action {
        Action::Add => {
            "
If a plugin fails or Ctrl-C is pressed, what was made so far is taken down again (DEL of all plugins), and the first
error is shown. The result is kept in the cache for check, del, gc and repair.
"
        }
        Action::Check | Action::Del => {
            "
Uses the arguments given now, and the result that add left in the cache. No output means that all is well.
"
        }
        Action::Gc => {
            "
Runs DEL for each cached attachment of the network that is not valid any more, then GC of every plugin. Valid are:
  --valid ID/IFNAME    the attachments named (the option can be repeated),
  --valid-file FILE    and those in the file, one in a line;
  --all                none at all: live containers lose their network, which is what the reference's cnitool does;
  otherwise            every cached attachment whose namespace still exists.
  --dry-run            says what would be removed, and removes nothing
A plugin's GC also removes what it made for attachments that are in nobody's cache.
"
        }
        Action::Status => "\nNo output means that an add can be served.\n",
        Action::Plan => {
            "
Works with plugins that know the verb PLAN, which is ferrocni's own. Without NETNS, names in the plan that are made from
the container ID are those of a container `cnitool-plan`.
"
        }
        Action::Repair => {
            "
Without NETNS, every attachment of the network that is in the cache is repaired. Works with plugins that know the verb
REPAIR, which is ferrocni's own.
"
        }
        Action::Ls => {
            "
Shows what is attached by the cache, how many addresses of host-local's pools are taken and by whom, and what looks leaked,
with the way out. It changes nothing. What looks leaked is no error: the exit status is 1 only if something could not be
read. COLUMNS says how wide the terminal is, NO_COLOR that it is not coloured.
"
        }
        Action::Lint => {
            "
Without a file or folder, the configuration folder is looked at. The exit status is 1 if an error is found: something that
a runtime or a plugin refuses. A warning is accepted, and not what was meant, or harmful; a note is worth knowing.
  --strict             warnings count as errors
  --no-host            say nothing of this host: of its routes and links, nor of its plugins, unless --path or CNI_PATH
                       names their folder
"
        }
        Action::Version => "",
    }
}
