//! A client of the Container Runtime Interface (CRI, version 1).

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use k8s_cri::v1::runtime_service_client::RuntimeServiceClient;
use k8s_cri::v1::{
    ContainerConfig, ContainerMetadata, CreateContainerRequest, ExecSyncRequest, ImageSpec,
    LinuxPodSandboxConfig, LinuxSandboxSecurityContext, ListPodSandboxRequest, NamespaceMode,
    NamespaceOption, PodSandboxConfig, PodSandboxFilter, PodSandboxMetadata, PodSandboxState,
    PodSandboxStateValue, PodSandboxStatusRequest, PortMapping, RemovePodSandboxRequest,
    RunPodSandboxRequest, StartContainerRequest, StatusRequest, StopPodSandboxRequest,
    VersionRequest,
};
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};
use tonic::Status;
use tonic::transport::{Channel, Endpoint, Uri};

/// The time limit for a call.
const DEADLINE: Duration = Duration::from_secs(120);

/// A connection to a runtime. Calls block until the answer arrives; an error is the text of the
/// runtime.
#[derive(Debug)]
pub struct Cri {
    /// Its threads, if any, are in the namespaces of the thread that made it.
    runtime: Runtime,
    client: RefCell<RuntimeServiceClient<Channel>>,
}

/// The configuration of a pod.
#[derive(Debug, Clone, Default)]
pub struct Sandbox {
    /// The name; its namespace is `default`, its uid `uid-NAME`.
    pub name: String,
    /// Ports of the machine that are mapped to TCP ports of the pod.
    pub ports: Vec<(i32, i32)>,
    /// The Kubernetes annotations.
    pub annotations: HashMap<String, String>,
    /// Whether it shares the machine's network: then the runtime calls no plugin.
    pub host_network: bool,
}

/// The state of the network in the runtime's status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkState {
    /// Whether the runtime can start pods.
    pub is_ready: bool,
    /// The reason, if it cannot.
    pub reason: String,
    /// The network configurations that it has read.
    pub config: Value,
}

impl Sandbox {
    /// A pod without ports and annotations.
    pub fn new(name: &str) -> Sandbox {
        Sandbox { name: name.to_owned(), ..Sandbox::default() }
    }

    fn config(&self) -> PodSandboxConfig {
        PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: self.name.clone(),
                uid: format!("uid-{}", self.name),
                namespace: "default".to_owned(),
                attempt: 0,
            }),
            // A pod with the machine's network also has its host name.
            hostname: if self.host_network { String::new() } else { self.name.clone() },
            log_directory: format!("/run/testbed/logs/{}", self.name),
            port_mappings: self
                .ports
                .iter()
                .map(|&(host_port, container_port)| PortMapping {
                    host_port,
                    container_port,
                    ..PortMapping::default()
                })
                .collect(),
            annotations: self.annotations.clone(),
            linux: Some(LinuxPodSandboxConfig {
                cgroup_parent: format!("/pods/{}", self.name),
                security_context: self.host_network.then(|| LinuxSandboxSecurityContext {
                    namespace_options: Some(NamespaceOption {
                        network: NamespaceMode::Node.into(),
                        ..NamespaceOption::default()
                    }),
                    ..LinuxSandboxSecurityContext::default()
                }),
                ..LinuxPodSandboxConfig::default()
            }),
            ..PodSandboxConfig::default()
        }
    }
}

impl Cri {
    /// Connects to the socket at the first call.
    pub fn new(socket: &Path) -> Cri {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let socket = socket.to_owned();
        let connect = tower::service_fn(move |_: Uri| {
            let socket = socket.clone();
            async { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        let _inside = runtime.enter();
        // The address is not used, only the socket.
        let endpoint = Endpoint::from_static("http://cri").timeout(DEADLINE);
        let channel = endpoint.connect_with_connector_lazy(connect);
        drop(_inside);
        Cri { runtime, client: RefCell::new(RuntimeServiceClient::new(channel)) }
    }

    fn client(&self) -> RuntimeServiceClient<Channel> {
        self.client.borrow().clone()
    }

    /// Starts the sandbox of a pod and returns its ID.
    ///
    /// # Errors
    ///
    /// The error of the runtime.
    pub fn run_sandbox(&self, sandbox: &Sandbox) -> Result<String, String> {
        self.runtime.block_on(start(self.client(), sandbox.config()))
    }

    /// Starts several sandboxes at once. Returns the results and the durations, in the order of the
    /// sandboxes.
    pub fn run_sandboxes(&self, sandboxes: &[Sandbox]) -> Vec<(Result<String, String>, Duration)> {
        self.at_once(sandboxes.iter().map(|sandbox| start(self.client(), sandbox.config())))
    }

    /// Stops several sandboxes at once, like [`run_sandboxes`](Cri::run_sandboxes).
    pub fn stop_sandboxes(&self, ids: &[String]) -> Vec<(Result<(), String>, Duration)> {
        self.at_once(ids.iter().map(|id| stop(self.client(), id.clone())))
    }

    /// Makes all calls at once. Returns the results and the durations.
    fn at_once<T: Send + 'static>(
        &self,
        calls: impl Iterator<Item = impl Future<Output = T> + Send + 'static>,
    ) -> Vec<(T, Duration)> {
        let timed = |call| async {
            let begun = tokio::time::Instant::now();
            (call.await, begun.elapsed())
        };
        self.runtime.block_on(async {
            // Tasks on one thread: all requests are sent before the first answer arrives.
            let calls: Vec<_> = calls.map(|call| tokio::task::spawn(timed(call))).collect();
            let mut results = Vec::new();
            for call in calls {
                results.push(call.await.expect("the call does not panic"));
            }
            results
        })
    }

    /// Stops a sandbox, which removes its network.
    ///
    /// # Errors
    ///
    /// The error of the runtime.
    pub fn stop_sandbox(&self, id: &str) -> Result<(), String> {
        self.runtime.block_on(stop(self.client(), id.to_owned()))
    }

    /// Removes a sandbox; a running one is stopped first.
    ///
    /// # Errors
    ///
    /// The error of the runtime.
    pub fn remove_sandbox(&self, id: &str) -> Result<(), String> {
        let request = RemovePodSandboxRequest { pod_sandbox_id: id.to_owned() };
        let mut client = self.client();
        said(self.runtime.block_on(client.remove_pod_sandbox(request))).map(drop)
    }

    /// The IDs of all sandboxes that the runtime knows.
    pub fn sandboxes(&self) -> Vec<String> {
        self.listed(PodSandboxFilter::default())
    }

    /// The IDs of the running sandboxes.
    pub fn live_sandboxes(&self) -> Vec<String> {
        let state = PodSandboxStateValue { state: PodSandboxState::SandboxReady.into() };
        self.listed(PodSandboxFilter { state: Some(state), ..PodSandboxFilter::default() })
    }

    fn listed(&self, filter: PodSandboxFilter) -> Vec<String> {
        let mut client = self.client();
        let list = client.list_pod_sandbox(ListPodSandboxRequest { filter: Some(filter) });
        let list = said(self.runtime.block_on(list)).expect("list the sandboxes");
        list.items.into_iter().map(|sandbox| sandbox.id).collect()
    }

    /// The addresses of a sandbox, and the runtime's verbose information.
    ///
    /// # Errors
    ///
    /// The error of the runtime.
    pub fn sandbox(&self, id: &str) -> Result<(Vec<String>, Value), String> {
        let request = PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose: true };
        let mut client = self.client();
        let answer = said(self.runtime.block_on(client.pod_sandbox_status(request)))?;
        let network = answer.status.and_then(|status| status.network).unwrap_or_default();
        let others = network.additional_ips.into_iter().map(|other| other.ip);
        let addresses = [network.ip].into_iter().chain(others).filter(|ip| !ip.is_empty());
        Ok((addresses.collect(), parse(&answer.info, "info")))
    }

    /// Starts a container with a command in a sandbox, and returns its ID.
    ///
    /// # Errors
    ///
    /// The error of the runtime.
    pub fn run_container(
        &self,
        sandbox_id: &str,
        sandbox: &Sandbox,
        image: &str,
        command: &[&str],
    ) -> Result<String, String> {
        let config = ContainerConfig {
            metadata: Some(ContainerMetadata {
                name: command.join("-").replace('/', ""),
                attempt: 0,
            }),
            image: Some(ImageSpec { image: image.to_owned(), ..ImageSpec::default() }),
            command: command.iter().map(|&word| word.to_owned()).collect(),
            log_path: "container.log".to_owned(),
            ..ContainerConfig::default()
        };
        let request = CreateContainerRequest {
            pod_sandbox_id: sandbox_id.to_owned(),
            config: Some(config),
            sandbox_config: Some(sandbox.config()),
        };
        let mut client = self.client();
        self.runtime.block_on(async {
            let container_id = said(client.create_container(request).await)?.container_id;
            let request = StartContainerRequest { container_id: container_id.clone() };
            said(client.start_container(request).await)?;
            Ok(container_id)
        })
    }

    /// Runs a command in a container. Returns the exit status and the output.
    ///
    /// # Errors
    ///
    /// The error of the runtime.
    pub fn exec(&self, container: &str, command: &[&str]) -> Result<(i32, String), String> {
        let request = ExecSyncRequest {
            container_id: container.to_owned(),
            cmd: command.iter().map(|&word| word.to_owned()).collect(),
            timeout: 20,
        };
        let mut client = self.client();
        let answer = said(self.runtime.block_on(client.exec_sync(request)))?;
        let printed = [answer.stdout, answer.stderr].concat();
        Ok((answer.exit_code, String::from_utf8_lossy(&printed).into_owned()))
    }

    /// The runtime's name and version: `containerd 1.6.20`.
    ///
    /// # Errors
    ///
    /// The error of the runtime.
    pub fn version(&self) -> Result<String, String> {
        let mut client = self.client();
        let answer = said(self.runtime.block_on(client.version(VersionRequest::default())))?;
        // Without the suffix of a distribution.
        let version = answer.runtime_version.split(['~', '+']).next().unwrap_or_default();
        Ok(format!("{} {}", answer.runtime_name, version.trim_start_matches('v')))
    }

    /// The runtime's status of its network.
    ///
    /// # Errors
    ///
    /// The error of the runtime.
    pub fn network(&self) -> Result<NetworkState, String> {
        let mut client = self.client();
        let answer = client.status(StatusRequest { verbose: true });
        let answer = said(self.runtime.block_on(answer))?;
        let conditions = answer.status.unwrap_or_default().conditions;
        let condition = conditions.into_iter().find(|condition| condition.r#type == "NetworkReady");
        let condition = condition.ok_or("the runtime does not say NetworkReady")?;
        let config = parse(&answer.info, "cniconfig");
        Ok(NetworkState { is_ready: condition.status, reason: condition.message, config })
    }
}

async fn start(
    mut client: RuntimeServiceClient<Channel>,
    config: PodSandboxConfig,
) -> Result<String, String> {
    let request = RunPodSandboxRequest { config: Some(config), ..RunPodSandboxRequest::default() };
    said(client.run_pod_sandbox(request).await).map(|answer| answer.pod_sandbox_id)
}

async fn stop(mut client: RuntimeServiceClient<Channel>, id: String) -> Result<(), String> {
    let request = StopPodSandboxRequest { pod_sandbox_id: id };
    said(client.stop_pod_sandbox(request).await).map(drop)
}

/// The answer, or the error of the runtime.
fn said<T>(answer: Result<tonic::Response<T>, Status>) -> Result<T, String> {
    answer.map(tonic::Response::into_inner).map_err(|status| status.message().to_owned())
}

/// An entry of the runtime's verbose information, which is JSON.
fn parse(info: &HashMap<String, String>, key: &str) -> Value {
    info.get(key).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}
