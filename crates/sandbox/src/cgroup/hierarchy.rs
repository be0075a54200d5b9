//! Which control group hierarchies there are, and where in each of them this process is.

use std::path::{Component, Path, PathBuf};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hierarchy {
    pub version: Version,
    /// The controllers bound to it. Version 2 lists them in each group instead, so this is empty there.
    pub controllers: Vec<String>,
    /// Where it is mounted: the highest group that can be seen.
    pub top: PathBuf,
    /// The group of this process, at `top` or below.
    pub own: PathBuf,
}

/// The hierarchies of this process; none where `/proc` cannot be read.
pub(super) fn discover() -> Vec<Hierarchy> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    parse(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"))
}

/// Match `/proc/self/cgroup` with `/proc/self/mountinfo`; lines that make no sense are passed over.
fn parse(mountinfo: &str, memberships: &str) -> Vec<Hierarchy> {
    let mounts: Vec<Mount> = mountinfo.lines().filter_map(mount).collect();
    memberships.lines().filter_map(|line| hierarchy(line, &mounts)).collect()
}

/// A mount of a hierarchy, from one line of mountinfo (man 5 proc).
struct Mount {
    version: Version,
    /// The group that is seen at `point`.
    root: PathBuf,
    point: PathBuf,
    options: Vec<String>,
}

fn mount(line: &str) -> Option<Mount> {
    // A number of optional fields precedes the dash.
    let (left, right) = line.split_once(" - ")?;
    let (mut left, mut right) = (left.split(' ').skip(3), right.split(' '));
    let version = match right.next()? {
        "cgroup" => Version::One,
        "cgroup2" => Version::Two,
        _ => return None,
    };
    let options = right.nth(1)?.split(',').map(str::to_string).collect();
    Some(Mount { version, root: unescape(left.next()?), point: unescape(left.next()?), options })
}

/// A line `number:controllers:path`; number 0 with no controllers is version 2.
fn hierarchy(line: &str, mounts: &[Mount]) -> Option<Hierarchy> {
    let mut fields = line.splitn(3, ':');
    let (number, controllers, path) = (fields.next()?, fields.next()?, Path::new(fields.next()?));
    number.parse::<u32>().ok()?;
    let controllers: Vec<String> = controllers.split(',').filter(|name| !name.is_empty()).map(str::to_string).collect();
    let version = if controllers.is_empty() { Version::Two } else { Version::One };
    mounts.iter().find_map(|mount| {
        let holds_all = controllers.iter().all(|controller| mount.options.contains(controller));
        if mount.version != version || !holds_all || !is_plain(path) || !is_plain(&mount.root) {
            return None;
        }
        let below = path.strip_prefix(&mount.root).ok()?;
        // Joining an empty path would add a slash.
        let own = if below.as_os_str().is_empty() { mount.point.clone() } else { mount.point.join(below) };
        Some(Hierarchy { version, controllers: controllers.clone(), top: mount.point.clone(), own })
    })
}

/// Absolute, and without the `..` by which a group outside the control group namespace is shown.
fn is_plain(path: &Path) -> bool {
    path.has_root() && path.components().all(|component| component != Component::ParentDir)
}

/// Mountinfo writes blanks, tabs, newlines and backslashes as three octal digits.
fn unescape(field: &str) -> PathBuf {
    let mut path = String::new();
    let mut rest = field;
    while let Some((before, after)) = rest.split_once('\\') {
        path.push_str(before);
        match after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                path.push(byte.into());
                rest = &after[3..];
            }
            None => {
                path.push('\\');
                rest = after;
            }
        }
    }
    path.push_str(rest);
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(version: Version, controllers: &[&str], top: &str, own: &str) -> Hierarchy {
        let controllers = controllers.iter().map(|name| name.to_string()).collect();
        Hierarchy { version, controllers, top: top.into(), own: own.into() }
    }

    #[test]
    fn version_2_alone() {
        let mountinfo = "\
22 28 0:20 / /proc rw,nosuid,nodev,noexec,relatime shared:13 - proc proc rw
30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
";
        let own = "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/run-u7.scope";
        let memberships = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-u7.scope\n";
        assert_eq!(parse(mountinfo, memberships), [group(Version::Two, &[], "/sys/fs/cgroup", own)]);
    }

    #[test]
    fn version_1_alone() {
        let mountinfo = "\
25 18 0:22 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:9 - tmpfs tmpfs ro,mode=755
26 25 0:23 / /sys/fs/cgroup/systemd rw,nosuid shared:10 - cgroup cgroup rw,xattr,name=systemd
28 25 0:25 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:12 master:3 - cgroup cgroup rw,cpu,cpuacct
29 25 0:26 / /sys/fs/cgroup/memory rw,nosuid shared:13 - cgroup cgroup rw,memory
";
        let memberships = "4:cpu,cpuacct:/user.slice\n3:memory:/\n2:pids:/user.slice\n1:name=systemd:/user.slice\n";
        let expected = [
            group(
                Version::One,
                &["cpu", "cpuacct"],
                "/sys/fs/cgroup/cpu,cpuacct",
                "/sys/fs/cgroup/cpu,cpuacct/user.slice",
            ),
            group(Version::One, &["memory"], "/sys/fs/cgroup/memory", "/sys/fs/cgroup/memory"),
            // `pids` is not mounted
            group(Version::One, &["name=systemd"], "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/systemd/user.slice"),
        ];
        assert_eq!(parse(mountinfo, memberships), expected);
    }

    #[test]
    fn hybrid() {
        let mountinfo = "\
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
        let memberships = "8:pids:/\n4:memory:/jobs/5d\n0::/\n";
        let expected = [
            group(Version::One, &["pids"], "/sys/fs/cgroup/pids", "/sys/fs/cgroup/pids"),
            group(Version::One, &["memory"], "/sys/fs/cgroup/memory", "/sys/fs/cgroup/memory/jobs/5d"),
            group(Version::Two, &[], "/sys/fs/cgroup/unified", "/sys/fs/cgroup/unified"),
        ];
        assert_eq!(parse(mountinfo, memberships), expected);
    }

    #[test]
    fn containers() {
        // The group of the container is bound to the usual place.
        let mountinfo = "9 8 0:26 /docker/4f2 /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        let expected = [group(Version::Two, &[], "/sys/fs/cgroup", "/sys/fs/cgroup/inner")];
        assert_eq!(parse(mountinfo, "0::/docker/4f2/inner\n"), expected);
        // A neighbour with the same first letters is not below it.
        assert_eq!(parse(mountinfo, "0::/docker/4f2b\n"), []);
        // The second mount of the same hierarchy shows the group, the first does not.
        let two = format!("7 8 0:26 /docker/000 /mnt/other\\040one ro - cgroup2 cgroup rw\n{mountinfo}");
        assert_eq!(parse(&two, "0::/docker/4f2/inner\n"), expected);
        let blank = [group(Version::Two, &[], "/mnt/other one", "/mnt/other one")];
        assert_eq!(parse(&two, "0::/docker/000\n"), blank);
        // Outside the control group namespace.
        assert_eq!(parse("9 8 0:26 /../.. /sys/fs/cgroup rw - cgroup2 cgroup rw\n", "0::/\n"), []);
        assert_eq!(parse("9 8 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n", "0::/../other\n"), []);
    }

    #[test]
    fn malformed_lines_are_passed_over() {
        let mountinfo = "\n-\n - \n - cgroup2\n1 2 3 - cgroup2 a b\n1 2 3 / - cgroup2 a b\n1 2 3 / /x rw - cgroup2\n";
        assert_eq!(parse(mountinfo, "0::/\n"), []);
        let good = "1 2 3 / /x rw - cgroup2 a b\n";
        for memberships in ["", "\n", "0", "0:", "0:/", "x::/\n", "0::relative\n", "::/\n", "-1::/\n", "1:memory:/\n"] {
            assert_eq!(parse(good, memberships), [], "{memberships:?}");
        }
        assert_eq!(parse(good, "junk\n0::/a:b\n"), [group(Version::Two, &[], "/x", "/x/a:b")]);
        for (field, path) in [("\\", "\\"), ("a\\04", "a\\04"), ("\\999", "\\999"), ("a\\134b", "a\\b"), ("\\é", "\\é")]
        {
            assert_eq!(unescape(field), Path::new(path));
        }
    }
}
