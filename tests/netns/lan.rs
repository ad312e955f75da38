//! A local network of the test's own: network namespaces as machines, on one more as their switch; or a single machine
//! without any network. Gone with the value.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where distributions put it; test environments often have no `sbin` on their path.
const IP_PLACES: [&str; 4] = ["/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip", "/bin/ip"];
/// Set by every continuous integration: there, what cannot be tested is a failure.
const CI_VARIABLE: &str = "CI";

/// One network, or what is there in place of one.
#[derive(Debug)]
pub(crate) struct Lan {
    ip: &'static str,
    /// What deletes them all.
    namespaces: Vec<String>,
    /// Those of the namespaces that are machines.
    machines: Vec<String>,
}

impl Lan {
    /// A network of so many machines, or nothing, and a loud word, where the machine does not let us.
    ///
    /// # Panics
    /// Where it does not let us, in continuous integration.
    pub(crate) fn new(machines: usize) -> Option<Self> {
        Self::or_skipped(Self::build(machines))
    }

    /// One machine without a network: its loopback device is up, there is no other and no route to anywhere. Nothing, and
    /// a loud word, where the machine does not let us.
    ///
    /// # Panics
    /// Where it does not let us, in continuous integration.
    pub(crate) fn none() -> Option<Self> {
        Self::or_skipped(Self::build_none())
    }

    fn or_skipped(built: Result<Self, String>) -> Option<Self> {
        match built {
            Ok(lan) => Some(lan),
            Err(why) if std::env::var_os(CI_VARIABLE).is_some() => panic!("no network namespaces: {why}"),
            Err(why) => {
                eprintln!("SKIPPED: no network namespaces: {why}");
                None
            }
        }
    }

    fn build_none() -> Result<Self, String> {
        let (mut none, name) = Self::named()?;
        let machine = none.machine(&name)?;
        let devices = none.ip(&format!("-n {machine} -o link show"))?;
        let routes =
            none.ip(&format!("-n {machine} route show"))? + &none.ip(&format!("-n {machine} -6 route show"))?;
        assert!(devices.lines().count() == 1 && devices.contains(" lo: "), "{devices}");
        assert_eq!(routes, "", "a machine without a network has no route");
        Ok(none)
    }

    fn build(machines: usize) -> Result<Self, String> {
        let (mut lan, name) = Self::named()?;
        let switch = lan.namespace(&format!("{name}-switch"))?;
        lan.ip(&format!("-n {switch} link add name switch type bridge"))?;
        lan.ip(&format!("-n {switch} link set switch up"))?;
        for number in 1..=machines {
            let machine = lan.machine(&format!("{name}-{number}"))?;
            lan.ip(&format!(
                "link add name lan netns {machine} type veth peer name port{number} netns {switch}"
            ))?;
            lan.ip(&format!("-n {switch} link set port{number} master switch up"))?;
            lan.ip(&format!("-n {machine} address add 10.77.0.{number}/24 dev lan"))?;
            lan.ip(&format!("-n {machine} link set lan up"))?;
        }
        Ok(lan)
    }

    /// One without machines, and a name for them that is unique on this machine while this process lives.
    fn named() -> Result<(Self, String), String> {
        static NETWORKS: AtomicUsize = AtomicUsize::new(0);
        let places = IP_PLACES.into_iter();
        let Some(ip) = places.into_iter().find(|place| Path::new(place).exists()) else {
            return Err("there is no `ip`; install iproute2".to_owned());
        };
        let number = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let lan = Self {
            ip,
            namespaces: Vec::new(),
            machines: Vec::new(),
        };
        Ok((lan, format!("maille-{}-{number}", std::process::id())))
    }

    /// What a shell puts before a command to run it on a machine; machines are counted from 1.
    pub(crate) fn on(&self, machine: usize) -> String {
        format!("exec {} netns exec {} ", self.ip, self.machines[machine - 1])
    }

    fn namespace(&mut self, name: &str) -> Result<String, String> {
        self.ip(&format!("netns add {name}"))?;
        self.namespaces.push(name.to_owned());
        Ok(name.to_owned())
    }

    /// A namespace whose loopback device is up.
    fn machine(&mut self, name: &str) -> Result<String, String> {
        let machine = self.namespace(name)?;
        self.ip(&format!("-n {machine} link set lo up"))?;
        self.machines.push(machine.clone());
        Ok(machine)
    }

    /// Runs `ip`, and returns what it says.
    fn ip(&self, arguments: &str) -> Result<String, String> {
        let output: Output = Command::new(self.ip)
            .args(arguments.split(' '))
            .output()
            .map_err(|error| error.to_string())?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(format!(
                "ip {arguments}: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            )),
        }
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for namespace in &self.namespaces {
            if let Err(why) = self.ip(&format!("netns delete {namespace}")) {
                eprintln!("a network namespace is left behind: {why}");
            }
        }
    }
}
