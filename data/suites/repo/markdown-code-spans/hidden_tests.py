"""Every rule of the README, alone and with the others."""


def check(pairs):
    for text, html in pairs:
        assert call("page.inline:render", text) == html, text


def test_the_example():
    assert call("page:to_html", "Write `a*b*c` or *this*.") == "<p>Write <code>a*b*c</code> or <em>this</em>.</p>"


def test_code_spans():
    check([("`a*b` *c*", "<code>a*b</code> <em>c</em>"),
           ("``a`b``", "<code>a`b</code>"),
           ("`` `x` ``", "<code>`x`</code>"),
           ("` a `", "<code>a</code>"),
           ("`  `", "<code>  </code>"),
           ("` a`", "<code> a</code>"),
           ("`a\\*b`", "<code>a\\*b</code>"),
           ("`a\\`b", "<code>a\\</code>b"),
           ("`<a&b>`", "<code>&lt;a&amp;b&gt;</code>")])


def test_runs_that_are_not_closed():
    check([("`a *b*", "`a <em>b</em>"),
           ("``a` *b*", "``a` <em>b</em>"),
           ("``a `b`", "``a <code>b</code>"),
           ("a```", "a```"),
           ("`a``b` c", "<code>a``b</code> c")])


def test_backslashes():
    check([("\\*a\\*", "*a*"),
           ("\\`a*b*`", "`a<em>b</em>`"),
           ("\\\\*a*", "\\<em>a</em>"),
           ("C:\\new \\<", "C:\\new \\&lt;"),
           ("end\\", "end\\"),
           ("\\``a`", "`<code>a</code>")])


def test_stars():
    check([("*a `*` b*", "<em>a <code>*</code> b</em>"),
           ("*a \\* b*", "<em>a * b</em>"),
           ("*a `b*` c", "*a <code>b*</code> c"),
           ("*a* *b* *", "<em>a</em> <em>b</em> *"),
           ("**", "**"),
           ("2*3 < 7", "2*3 &lt; 7"),
           ("*a < b*", "<em>a &lt; b</em>"),
           ("*a `b*", "<em>a `b</em>")])


def test_nothing_is_doubly_escaped():
    check([("&amp; `&lt;`", "&amp;amp; <code>&amp;lt;</code>"), ("", ""), ("plain", "plain")])
