//! What the host asks of a launcher: to begin, and to open a session.

use crate::jail::identity::Ids;
use crate::policy::Rung;
use crate::wire::fields::{Fields, Writer};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// How to begin: once per launcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Begin {
    pub rung: Rung,
    pub ids: Ids,
    pub python: PathBuf,
    pub readable: Vec<PathBuf>,
    /// Modules to import before the first session.
    pub imports: Vec<String>,
    /// An existing folder to build the root in.
    pub scratch: PathBuf,
    /// A folder of the host that cells may write, and its owner if that must be shown as another.
    pub workspace: Option<PathBuf>,
    pub owner: Option<(u32, u32)>,
    pub host_network: bool,
    pub hash_seed: Option<u32>,
}

/// One session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Open {
    pub number: u32,
    /// Resource and value, soft and hard alike.
    pub limits: Vec<(u32, u64)>,
    pub disk_bytes_max: u64,
    pub disk_files_max: u64,
    /// Whether sockets of the internet can be made at all.
    pub network: bool,
    /// Whether a listener on the session's loopback is wanted, for a proxy of the host.
    pub proxy: bool,
    /// Variables on top of those that every session has: `NAME=value`.
    pub environment: Vec<String>,
    /// Folders for the workspace and for temporary files, where the session cannot have its own disk.
    pub folders: Option<(PathBuf, PathBuf)>,
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(std::ffi::OsString::from_vec(bytes.to_vec()))
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

impl Begin {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (kind, start) = match self.ids {
            Ids::Range { start } => ("range", start),
            Ids::BareRange { start } => ("bare range", start),
            Ids::Single => ("single", 0),
        };
        let mut fields = Writer::default()
            .put("rung", self.rung.name())
            .put("ids", kind)
            .number("start", start.into())
            .put("python", bytes(&self.python))
            .put("imports", self.imports.join("\n"))
            .put("scratch", bytes(&self.scratch))
            .number("host_network", self.host_network.into());
        for folder in &self.readable {
            fields = fields.put("readable", bytes(folder));
        }
        if let Some(folder) = &self.workspace {
            fields = fields.put("workspace", bytes(folder));
        }
        if let Some(seed) = self.hash_seed {
            fields = fields.number("hash_seed", seed.into());
        }
        if let Some((user, group)) = self.owner {
            fields = fields.number("owner_user", user.into()).number("owner_group", group.into());
        }
        fields.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Begin> {
        let fields = Fields::parse(bytes).ok()?;
        let number = |key| u32::try_from(fields.number(key)?).ok();
        let start = number("start")?;
        Some(Begin {
            rung: Rung::from_name(&fields.text("rung")?)?,
            ids: match fields.text("ids")?.as_str() {
                "range" => Ids::Range { start },
                "bare range" => Ids::BareRange { start },
                _ => Ids::Single,
            },
            python: path(fields.bytes("python")?),
            imports: fields.text("imports")?.lines().map(str::to_string).collect(),
            scratch: path(fields.bytes("scratch")?),
            readable: fields.iter().filter(|(key, _)| *key == "readable").map(|(_, value)| path(value)).collect(),
            workspace: fields.bytes("workspace").map(path),
            owner: number("owner_user").zip(number("owner_group")),
            host_network: fields.number("host_network")? == 1,
            hash_seed: number("hash_seed"),
        })
    }
}

impl Open {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let fields = Writer::default()
            .number("number", self.number.into())
            .put("limits", self.packed_limits())
            .number("disk_bytes", self.disk_bytes_max)
            .number("disk_files", self.disk_files_max)
            .number("network", self.network.into())
            .number("proxy", self.proxy.into())
            .put("environment", self.environment.join("\0"));
        match &self.folders {
            Some((work, temporary)) => fields.put("work", bytes(work)).put("temporary", bytes(temporary)),
            None => fields,
        }
        .finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Open> {
        let fields = Fields::parse(bytes).ok()?;
        let limits = fields.bytes("limits")?.chunks_exact(12).map(|chunk| {
            let (resource, value) = chunk.split_at(4);
            (
                u32::from_le_bytes(resource.try_into().unwrap_or_default()),
                u64::from_le_bytes(value.try_into().unwrap_or_default()),
            )
        });
        let environment = fields.text("environment")?;
        Some(Open {
            number: u32::try_from(fields.number("number")?).ok()?,
            limits: limits.collect(),
            disk_bytes_max: fields.number("disk_bytes")?,
            disk_files_max: fields.number("disk_files")?,
            network: fields.number("network")? == 1,
            proxy: fields.number("proxy")? == 1,
            environment: environment.split('\0').filter(|one| !one.is_empty()).map(str::to_string).collect(),
            folders: fields.bytes("work").zip(fields.bytes("temporary")).map(|(work, other)| (path(work), path(other))),
        })
    }

    /// As the zygote takes them: `u32 resource | u64 value`, little endian.
    pub(crate) fn packed_limits(&self) -> Vec<u8> {
        let pack = |(resource, value): &(u32, u64)| [&resource.to_le_bytes()[..], &value.to_le_bytes()].concat();
        self.limits.iter().flat_map(pack).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_arrive_as_they_were_sent() {
        let begin = Begin {
            rung: Rung::Root,
            ids: Ids::Range { start: 600_000_000 },
            python: "/usr/bin/python3".into(),
            readable: vec!["/usr".into(), "/opt/é".into()],
            imports: vec!["numpy".into(), "pandas".into()],
            scratch: "/tmp/x".into(),
            workspace: Some("/home/me".into()),
            owner: Some((0, 5)),
            host_network: true,
            hash_seed: Some(u32::MAX),
        };
        assert_eq!(Begin::decode(&begin.encode()), Some(begin));
        let open = Open {
            number: 7,
            limits: vec![(1, u64::MAX), (7, 0)],
            disk_bytes_max: 1,
            disk_files_max: 2,
            network: false,
            proxy: true,
            environment: vec!["A=b".into()],
            folders: Some(("/a".into(), "/b".into())),
        };
        assert_eq!(Open::decode(&open.encode()), Some(open));
        assert_eq!(Begin::decode(b"garbage"), None);
    }
}
