use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnetwork::Ipv4Network;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use serde::{Deserialize, Serialize};

use super::route::delete;
use super::{At, Collection, Kind, Of, Place, Route, Stale, Sweep, is_same};
use crate::error::{Error, Result};
use crate::fib::{self, Fib, Prefix};
use crate::handle::Handle;
use crate::owner::Owner;
use crate::rtnl::{Message, Request};

/// All IPv4 routes of a network to other hosts: exactly those that are listed.
///
/// Their protocol, [`Route::PROTOCOL`], distinguishes them from other programs' routes, and their
/// metric, [`Owner::group`], from other networks' routes. They belong to the network, not to one
/// attachment: a failed ADD does not roll them back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteSet {
    /// The network that they belong to.
    pub network: String,
    /// The routes, by link.
    pub over: Vec<Over>,
}

/// The routes of a [`RouteSet`] over one link. A node of a large cluster has thousands, which each
/// call compares, so they are plain numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Over {
    /// The outgoing link.
    pub link: String,
    /// Whether the next hops count as reachable over the link, whatever the addresses say.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub onlink: bool,
    /// The destination and the next hop of each route.
    pub routes: Vec<(Ipv4Network, Ipv4Addr)>,
}

impl RouteSet {
    /// Each route as a separate object.
    fn routes(&self) -> impl Iterator<Item = Route> {
        let priority = Owner::group(&self.network);
        self.over
            .iter()
            .flat_map(move |over| over.routes.iter().map(move |route| over.route(*route, priority)))
    }
}

impl Over {
    fn route(&self, (to, via): (Ipv4Network, Ipv4Addr), priority: u32) -> Route {
        Route {
            via: Some(via.into()),
            onlink: self.onlink,
            protocol: Some(Route::PROTOCOL),
            priority,
            ..Route::new(&self.link, to.into())
        }
    }
}

impl Kind for RouteSet {
    fn name(&self) -> &'static str {
        "route-set"
    }

    fn show(&self, place: Place) -> String {
        let lines: Vec<String> = self.routes().map(|route| route.show(place)).collect();
        match lines.is_empty() {
            false => lines.join(" && ").replace(" route add ", " route replace "),
            true => format!(
                "{} route show proto {} metric {} # none",
                super::ip(place),
                Route::PROTOCOL,
                Owner::group(&self.network)
            ),
        }
    }

    fn is_shown_late(&self) -> bool {
        true
    }

    fn is_there(&self, at: &mut At<'_>) -> bool {
        self.over.iter().all(|over| at.has_link(&over.link)) && is_same(self.diff(at))
    }

    fn apply(&self, at: &mut At<'_>) -> Result<()> {
        let handle = at.handle()?;
        let changes = self.compare(handle)?;
        for wanted in changes.missing.iter().chain(&changes.wrong) {
            let route = changes.route(wanted)?;
            let message = Message::NewRoute(route.message(wanted.link)?);
            let action = format!("set the route {}", route.named());
            handle.queue(Request::new(action, NLM_F_CREATE | NLM_F_REPLACE, message));
        }
        changes.surplus.iter().for_each(|route| handle.queue(delete(route.message())));
        handle.flush()
    }

    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        let is_on_host = at.place == Place::Host;
        let handle = at.handle()?;
        let changes = self.compare(handle)?;
        let mut differences = Vec::new();
        for wanted in &changes.missing {
            differences.push(format!("route {} is gone", changes.route(wanted)?.named()));
        }
        for wanted in &changes.wrong {
            differences.push(format!("route {} leads elsewhere", changes.route(wanted)?.named()));
        }
        for route in &changes.surplus {
            differences.push(format!("route {} is left over", to_and_via(route)));
        }
        // A container may have other networks with routes of their own.
        if is_on_host {
            let before_main = fib::tables_before_main(handle)?;
            for other in &changes.others {
                if let Some(wanted) = changes.wanted.shadowed(other, &before_main) {
                    differences.push(changes.shadow(wanted, other)?);
                }
            }
        }
        Ok(differences)
    }
}

/// Destination and next hop.
fn to_and_via(route: &Fib) -> String {
    match route.via.is_unspecified() {
        true => route.to.to_string(),
        false => format!("{} via {}", route.to, route.via),
    }
}

/// A wanted route.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    to: Prefix,
    via: Ipv4Addr,
    /// The index of its link.
    link: u32,
    /// The index of its [`Over`].
    over: usize,
    onlink: bool,
}

impl Wanted {
    fn is(&self, found: &Fib) -> bool {
        self.via == found.via && self.link == found.link && self.onlink == found.is_onlink()
    }
}

/// The wanted routes, by destination.
#[derive(Debug)]
struct AllWanted {
    sorted: Vec<Wanted>,
    /// The lengths of their prefixes, which are mostly all the same.
    lengths: BTreeSet<u8>,
    priority: u32,
}

impl AllWanted {
    fn new(mut sorted: Vec<Wanted>, priority: u32) -> AllWanted {
        sorted.sort_by_key(|wanted| wanted.to);
        let lengths = sorted.iter().map(|wanted| wanted.to.length).collect();
        AllWanted { sorted, lengths, priority }
    }

    /// The index of the route to a destination. The kernel lists routes in the order of their
    /// destinations, so `next` is tried first.
    fn find(&self, to: Prefix, next: usize) -> Option<usize> {
        match self.sorted.get(next).is_some_and(|wanted| wanted.to == to) {
            true => Some(next),
            false => self.sorted.binary_search_by_key(&to, |wanted| wanted.to).ok(),
        }
    }

    /// The route that another program's route keeps packets from, if there is one.
    fn shadowed(&self, other: &Fib, before_main: &[u32]) -> Option<&Wanted> {
        let leads_there = |wanted: &&Wanted| {
            other.is_unicast() && (other.via, other.link) == (wanted.via, wanted.link)
        };
        let around = self.lengths.range(..=other.to.length).rev().find_map(|length| {
            self.sorted.get(self.find(other.to.shortened(*length), usize::MAX)?)
        });
        if other.table == Route::MAIN {
            let comes_first =
                |wanted: &&Wanted| wanted.to != other.to || other.priority < self.priority;
            return around.filter(comes_first).filter(|wanted| !leads_there(wanted));
        }
        if other.is_throw() || !before_main.contains(&other.table) {
            return None;
        }
        // In a table before the main one, a route to a larger prefix comes first too.
        let from = self.sorted.partition_point(|wanted| wanted.to < other.to);
        let inside = self.sorted.get(from..).unwrap_or_default().iter();
        let inside = inside.take_while(|wanted| wanted.to.first <= other.to.last());
        around.into_iter().chain(inside).find(|wanted| !leads_there(wanted))
    }
}

/// The differences of a network's routes.
#[derive(Debug)]
struct Changes<'a> {
    over: &'a [Over],
    wanted: AllWanted,
    missing: Vec<Wanted>,
    wrong: Vec<Wanted>,
    surplus: Vec<Fib>,
    /// The routes of other programs.
    others: Vec<Fib>,
}

impl Changes<'_> {
    fn route(&self, wanted: &Wanted) -> Result<Route> {
        let to = Ipv4Network::new(wanted.to.first.into(), wanted.to.length);
        match (self.over.get(wanted.over), to) {
            (Some(over), Ok(to)) => Ok(over.route((to, wanted.via), self.wanted.priority)),
            _ => Err(Error::found("set a route", format!("{} is not in the list", wanted.to))),
        }
    }

    /// The difference for a route that another program's route keeps packets from, with a remedy.
    fn shadow(&self, wanted: &Wanted, other: &Fib) -> Result<String> {
        let (route, article) = (self.route(wanted)?.named(), other.article());
        let said = match other.table {
            Route::MAIN if other.to == wanted.to => {
                let (to, metric) = (other.to, other.priority);
                format!(
                    "route {route} has no effect: {article} to {to} has the lower metric {metric}"
                )
            }
            Route::MAIN => {
                let to = other.to;
                format!("packets to {to} do not take the route {route}: {article} leads there")
            }
            table => {
                let to = if other.to.length > wanted.to.length { other.to } else { wanted.to };
                format!(
                    "packets to {to} do not take the route {route}: table {table} comes before the \
                     main one and has {article} to {}",
                    other.to
                )
            }
        };
        Ok(format!("{said}; if no program needs it: ip route del {}", other.named()))
    }
}

impl RouteSet {
    /// Compares with the kernel's routes, which are read once.
    fn compare(&self, handle: &mut Handle) -> Result<Changes<'_>> {
        let priority = Owner::group(&self.network);
        let wanted = AllWanted::new(self.wanted(handle)?, priority);
        let (mut surplus, mut others) = (Vec::new(), Vec::new());
        // For each wanted route, whether it is as wanted; `None` until it is found.
        let mut found: Vec<Option<bool>> = vec![None; wanted.sorted.len()];
        let mut next = 0;
        for route in fib::all(handle)?.iter().copied() {
            if !is_of(&route, priority) {
                others.extend(Some(route).filter(Fib::is_used));
                continue;
            }
            let at = wanted.find(route.to, next);
            next = at.map_or(next, |at| at + 1);
            match at.and_then(|at| Some((wanted.sorted.get(at)?, found.get_mut(at)?))) {
                // Of several routes to one destination the first counts; the others are left over.
                Some((wanted, found @ None)) => *found = Some(wanted.is(&route)),
                _ => surplus.push(route),
            }
        }
        let of = |state: Option<bool>| {
            let all = wanted.sorted.iter().zip(&found);
            all.filter(|(_, found)| **found == state).map(|(wanted, _)| *wanted).collect()
        };
        let (missing, wrong) = (of(None), of(Some(false)));
        Ok(Changes { over: &self.over, missing, wrong, wanted, surplus, others })
    }

    fn wanted(&self, handle: &mut Handle) -> Result<Vec<Wanted>> {
        let mut wanted = Vec::with_capacity(self.over.iter().map(|over| over.routes.len()).sum());
        for (at, over) in self.over.iter().enumerate() {
            let link = match handle.index(&over.link) {
                // The object that creates the link reports that it is missing.
                Err(error) if error.is_gone() => continue,
                link => link?,
            };
            let onlink = over.onlink;
            let routes = over.routes.iter();
            wanted.extend(routes.map(|(to, via)| Wanted {
                to: Prefix::from(*to),
                via: *via,
                link,
                over: at,
                onlink,
            }));
        }
        Ok(wanted)
    }
}

/// Whether a route belongs to the network with this metric.
fn is_of(route: &Fib, priority: u32) -> bool {
    route.table == Route::MAIN
        && route.protocol == Route::PROTOCOL
        && route.priority == priority
        && route.is_unicast()
}

/// The existing routes of a network.
fn of_network(handle: &mut Handle, network: &str) -> Result<Vec<Fib>> {
    let none = RouteSet { network: network.to_owned(), over: Vec::new() };
    Ok(none.compare(handle)?.surplus)
}

impl Sweep for RouteSet {
    fn collect(gc: &mut Collection<'_>) -> Result<()> {
        if !gc.is_network_gone() {
            return Ok(());
        }
        let host = &mut gc.handles.host;
        let routes = of_network(host, gc.judge.network)?;
        routes.iter().for_each(|route| host.queue(delete(route.message())));
        host.flush()
    }

    fn stale(gc: &mut Collection<'_>, _found: &[Stale]) -> Result<Vec<Stale>> {
        if !gc.is_network_gone() {
            return Ok(Vec::new());
        }
        let routes = of_network(&mut gc.handles.host, gc.judge.network)?;
        let routes: BTreeSet<String> = routes.iter().map(to_and_via).collect();
        let stale = |route| Stale::new(format!("the route {route}"), Of::Network);
        Ok(routes.into_iter().map(stale).collect())
    }
}
