//! Many pods, at once and one after another.

use std::collections::HashSet;

use e2e::{Cri, Sandbox};

use crate::networks;
use crate::scene::Scene;

#[test]
fn at_once() {
    let scene = Scene::new(&networks::bridge());
    let sandboxes: Vec<_> = (0..30).map(|index| Sandbox::new(&format!("pod{index}"))).collect();
    let started = scene.containerd.run_sandboxes(&sandboxes);
    let ids: Vec<_> = started.into_iter().map(|(result, _)| result.unwrap()).collect();
    all_answer(&scene, &ids);
    let end = |id: String| {
        let stop = move |cri: Cri| cri.stop_sandbox(&id).and_then(|()| cri.remove_sandbox(&id));
        scene.containerd.meanwhile(stop)
    };
    let ends: Vec<_> = ids.into_iter().map(end).collect();
    ends.into_iter().for_each(|end| end.join().unwrap().unwrap());
    scene.is_clean();
}

/// 25, or 100 if the environment has `E2E_ALL` and containerd is the newest release: the runtime
/// needs time for each.
#[test]
fn one_after_the_other() {
    let count = if std::env::var_os("E2E_ALL").is_some() { 100 } else { 25 };
    let scene = Scene::new(&networks::bridge());
    let start = |index| scene.containerd.run_sandbox(&Sandbox::new(&format!("pod{index}")));
    let ids: Vec<_> = (0..count).map(|index| start(index).unwrap()).collect();
    all_answer(&scene, &ids);
    for id in ids {
        scene.containerd.stop_sandbox(&id).unwrap();
        scene.containerd.remove_sandbox(&id).unwrap();
    }
    scene.is_clean();
}

/// All have IPv4 and IPv6 addresses of their own, and answer.
fn all_answer(scene: &Scene, ids: &[String]) {
    let mut known = HashSet::new();
    for id in ids {
        let (addresses, _) = scene.containerd.sandbox(id).unwrap();
        assert_eq!(addresses.len(), 2, "{addresses:?}");
        for address in addresses {
            assert!(scene.machine.ping(&address), "{address}");
            assert!(known.insert(address.clone()), "{address} is given twice");
        }
    }
    assert_eq!(scene.machine.reservations().len(), known.len());
}
