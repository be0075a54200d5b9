# case: 83
# title: ask the metadata service of a cloud for credentials
# layer: network
# expect: held
# doctor: no
# seconds: 10
import errno
import urllib.error
import urllib.request

URLS = ["http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/latest/meta-data/",
        "http://169.254.169.254/computeMetadata/v1/", "http://169.254.170.2/v2/credentials",
        "http://100.100.100.200/latest/"]
REFUSALS = (errno.ENETUNREACH, errno.EACCES, errno.EPERM, errno.EAFNOSUPPORT)


def attack():
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for url in URLS:
        try:
            opener.open(url, timeout=1)
        except urllib.error.HTTPError as error:
            return f"escaped: {url} answered {error.code}"
        except urllib.error.URLError as error:
            if getattr(error.reason, "errno", None) not in REFUSALS:
                return f"escaped: {url} gave {error.reason}"
        else:
            return f"escaped: {url} answered"
    return f"held: {len(URLS)} services are out of reach"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
