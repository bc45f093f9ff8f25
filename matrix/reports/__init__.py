"""Tables → reports, as pure functions: `terminal`, `markdown` and `csvfiles`.

To add a report: a module here with a `render` of `Tables`, over the words of `marks` (verdicts),
`names` (columns), `reasons` (why not) and `text` (untrusted text, numbers). These and the reports
import no pandas, except where files of it are written.
"""
