# case: 71
# title: HTML and SVG that run scripts where they are shown
# layer: none
# expect: survives
# doctor: no
# seconds: 5
class Markup:
    def _repr_html_(self):
        return "<script>alert(1)</script><img src=x onerror=alert(2)><iframe src=javascript:alert(3)></iframe>"

    def _repr_svg_(self):
        return "<svg xmlns='http://www.w3.org/2000/svg' onload='alert(4)'><script>alert(5)</script></svg>"

    def _repr_markdown_(self):
        return "[link](javascript:alert(6)) ![image](http://example.invalid/beacon.png)"

    def _repr_latex_(self):
        return r"\href{javascript:alert(7)}{x} \input{/etc/passwd}"


Markup()
