//! The first host of a list as SLURM writes them, such as `node[01-03,7],login`.

/// Characters of a list at most that are looked at: clusters have thousands of hosts, not millions.
const LIST_CHARS_MAX: usize = 1 << 16;

/// The first host; `None` where the list is not such a list.
///
/// Source: `SLURM_JOB_NODELIST`, as `scontrol show hostnames` expands it.
pub(super) fn first(list: &str) -> Option<String> {
    let list = list.trim();
    if list.is_empty() || list.len() > LIST_CHARS_MAX {
        return None;
    }
    let mut host = String::new();
    let mut rest = list;
    loop {
        let end = rest.find(['[', ',']).unwrap_or(rest.len());
        host.push_str(&rest[..end]);
        rest = &rest[end..];
        let Some(inside) = rest.strip_prefix('[') else { break };
        let (numbers, behind) = inside.split_once(']')?;
        let number = numbers.split([',', '-']).next()?;
        if number.is_empty() || !numbers.chars().all(|char| char.is_ascii_digit() || ",-".contains(char)) {
            return None;
        }
        host.push_str(number);
        rest = behind;
    }
    let is_name = |char: char| char.is_ascii_alphanumeric() || "-._:".contains(char);
    (!host.is_empty() && host.chars().all(is_name)).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::first;

    #[test]
    fn the_first_host_of_a_list_is_found() {
        for (list, host) in [
            ("login", "login"),
            ("login,node[01-03]", "login"),
            ("node[01-03,7]", "node01"),
            ("node[7]", "node7"),
            ("node[007,9-12],other", "node007"),
            ("rack[2-3]-node[05-06].cluster", "rack2-node05.cluster"),
            (" gpu-a100-3 ", "gpu-a100-3"),
        ] {
            assert_eq!(first(list).as_deref(), Some(host), "{list}");
        }
    }

    #[test]
    fn what_is_no_list_has_no_first_host() {
        for list in
            ["", ",", "[", "node[", "node[]", "node[a-b]", "node]", "no de", "node[1", "[-]", "a/b", "node[1[2]]"]
        {
            assert_eq!(first(list), None, "{list:?}");
        }
        assert_eq!(first(&"[1]".repeat(1 << 20)), None);
    }
}
