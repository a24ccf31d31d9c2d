#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the manual of section 3 from the comments of the public headers: a page for each header (freehold_heap.3 from
freehold/heap.h), and for each function, type and macro a page that leads there (.so).

Usage: manual.py VERSION DATE OUT HEADER...    writes the pages into the folder OUT
       manual.py --check HEADER...             writes nothing, and fails when something has no documentation

The form that the headers have: their first comment is about the whole header, with paragraphs, code (indented by
four), and a table of terms ("Threads      Any."); the comment before a declaration, or behind it on its line, is about
it and all that follow up to an empty line. What begins with freehold__ or FREEHOLD__ is nobody's business.
"""

import pathlib
import re
import sys

TERM = re.compile(r"([A-Za-z][\w,]*(?: [\w,]+)*)(?: {2,})(?=\S)(.*)")
NAMES = (
    re.compile(r"#define (\w+)"),  # a macro
    re.compile(r"\(\*(freehold_\w+)\)\(.*\);$", re.S),  # a pointer to a function, as a type
    re.compile(r"\b(freehold_\w+)\(", re.S),  # a function
    re.compile(r"^typedef .*\b(freehold_\w+);$", re.S),
    re.compile(r"^struct (freehold_\w+)"),
    re.compile(r"^FREEHOLD_API extern .*\b(freehold_\w+);$", re.S),  # a constant
)
UNITS = re.compile(r"bytes|count|index|alignment|offset|most|expected|found|magic")


class Item:
    def __init__(self, text, doc):
        self.text, self.doc = text, doc
        match = next(m for m in (name.search(text) for name in NAMES) if m)
        self.name = match.group(1)
        self.macro = text.startswith("#define")
        self.function = not self.macro and not text.startswith(("typedef", "struct", "FREEHOLD_API extern"))
        self.private = self.name.lower().startswith("freehold__") or not self.name.lower().startswith("freehold")

    def shown(self):
        """As the synopsis has it: a macro without what it stands for, a function without how it is exported."""
        if self.macro:
            value = re.match(r"#define (\w+(?:\([^)]*\))?)\s*(.*)", self.text, re.S)
            return f"#define {value.group(1)}" + (f" {value.group(2)}" if re.fullmatch(r"[\w()* ]{1,40}", value.group(2)) else "")
        text = re.sub(r"^FREEHOLD_API |^static inline ", "", self.text)
        return re.sub(r"\n\{.*", ";", text, flags=re.S) if self.function else text


def plain(comment):
    """The text of a comment without its frame."""
    lines = re.sub(r"^/\*|\*/$", "", comment.strip()).split("\n")
    return "\n".join(re.sub(r"^ ?\* ?", "", line).rstrip() for line in lines).strip("\n")


def cut(text):
    """The first comment of a header, and its items."""
    comments = re.findall(r"/\*.*?\*/", text, re.S)
    head, items, doc, used = plain(comments[1]), [], "", False
    lines = iter(text.split(comments[1], 1)[1].split("\n"))
    for line in lines:
        if line.startswith("/*") and not line.startswith("/* ---"):
            while "*/" not in line:
                line += "\n" + next(lines)
            doc, used = plain(line), False
        elif re.match(r"(#define|typedef|struct|FREEHOLD_API|static inline)\b", line):
            going = (lambda t: t.endswith("\\")) if line.startswith("#define") else (
                lambda t: not re.search(r"[;}]\s*(/\*.*\*/)?$", t) or t.count("{") > t.count("}") or
                (t.startswith("typedef") and not t.rstrip().endswith((";", "*/"))))
            while going(line):
                line += "\n" + next(lines)
            behind = re.search(r"\s*/\*((?:(?!\*/).)*)\*/$", line) if line.count("\n") == 0 else None
            if behind:
                line = line[: behind.start()]
            item = Item(line, doc or (behind.group(1).strip() if behind else ""))
            if not item.private and not re.fullmatch(r"#define \w+_H", line):  # which only guards the header
                items.append(item)
                used = True
        elif line == "" and used:
            doc = ""
    return head, items


def every_function(text):
    """The functions of FREEHOLD__EACH_FUNCTION, by name, as declarations; and the types that have them."""
    found = re.findall(r"F\(T, (.*?), (\w+),\s*\((.*?)\),\s*\(FREEHOLD__SELF", re.sub(r"\\\n", " ", text), re.S)
    types = re.findall(r"X\((\w+), argument\)", text)
    return {name: (result, re.sub(r"\s+", " ", parameters)) for result, name, parameters in found}, types


def prototype(name, result, parameters):
    """Of a macro over all types, as if it were a function."""
    parameters = re.sub(r"freehold_##T \* ?self", "allocator", parameters)
    return f"{result}{'' if result.endswith('*') else ' '}freehold_{name}({parameters});"


# ---- roff ------------------------------------------------------------------------------------------------------


def escape(text, code=False):
    text = text.replace("\\", "\\e")
    if code:
        text = text.replace("-", "\\-").replace("^", "\\(ha").replace("~", "\\(ti")
    return "\n".join("\\&" + line if line.startswith((".", "'")) else line for line in text.split("\n"))


def code(text):
    lines = text.strip("\n").split("\n")
    indent = min(len(line) - len(line.lstrip()) for line in lines if line)
    return [".PP", ".RS 4", ".nf", *escape("\n".join(line[indent:] for line in lines), True).split("\n"), ".fi", ".RE"]


def prose(text, first=".PP"):
    """Paragraphs, code and tables of terms."""
    out = []
    for part in re.split(r"\n{2,}", text):
        lines = part.split("\n")
        if all(line.startswith("    ") for line in lines):
            out += code(part)[0 if first else 1 :]
        elif TERM.fullmatch(lines[0]) and not lines[0].startswith(" "):
            for line in lines:
                term = TERM.fullmatch(line)
                out += [".TP", ".B " + escape(term.group(1)), escape(term.group(2))] if term else [escape(line.strip())]
        elif part.startswith("- "):
            for line in lines:
                out += [".IP \\(bu 2", escape(line[2:])] if line.startswith("- ") else [escape(line.strip())]
        else:
            out += [*([first] if first else []), *(escape(line.strip()) for line in lines)]
        first = ".PP"
    return out


def page(path, version, date, head, items, functions, others):
    """functions: shown for the macros of the same name."""
    name = "freehold" if path.stem == "freehold" else "freehold_" + path.stem
    title, _, rest = head.partition("\n\n")
    if title.count(". ") and len(title) > 90:  # more than a name has room for
        title, rest = title.split(". ", 1)[0], head
    out = ['.\\" Made from %s/%s by manual.py.' % (path.parent.name, path.name),
           '.TH %s 3 "%s" "Freehold %s" "Library Functions"' % (name, date, version), ".SH NAME",
           "%s \\- %s" % (name, escape(re.sub(r"\s+", " ", title).rstrip(".")[0].lower() + re.sub(r"\s+", " ", title).rstrip(".")[1:])),
           ".SH SYNOPSIS", ".nf", ".B #include <freehold/%s>" % path.name, ".PP"]
    shown = [functions.get(item.name) if item.macro and item.name in functions else item.shown() for item in items]
    out += [line for text in shown for line in escape(text, True).split("\n")] + [
        ".fi", ".PP", "Link with", ".BR \\-lfreehold ."]
    if rest:
        out += [".SH DESCRIPTION", *prose(rest, None)]
    documented = [item for item in items if item.doc]
    for k, item in enumerate(documented):
        if k == 0:
            out.append(".SH DECLARATIONS")
        if k == 0 or item.doc != documented[k - 1].doc:
            same = [other.name for other in documented[k:] if other.doc == item.doc]
            out += [".SS " + ", ".join(same), *prose(item.doc, None)]
    out += [".SH SEE ALSO"] + [".BR %s (3)%s" % (other, " ," if other != others[-1] else "") for other in others]
    return "\n".join(out) + "\n"


# ---- checking --------------------------------------------------------------------------------------------------


def undocumented(path, head, items):
    """What a reader would miss, as lines: of each thing what it is, of functions units and failure, of a header its
    threads."""
    terms = [term for line in head.split("\n") for term in re.split(", ", (TERM.match(line) or [0, ""])[1])]
    if any(item.function for item in items):
        for term in ("Threads", "Failure"):
            if term not in terms:
                yield f"{path.name}: its first comment has no entry '{term}'"
    for item in items:
        opaque = item.name == "freehold_" + path.stem  # which the first comment is about
        if not item.doc and not opaque and not re.fullmatch(r"typedef struct (\w+) \1;", item.text):
            yield f"{path.name}: {item.name} has no comment"
        if not item.function:
            continue
        for size in re.findall(r"\b(?:size_t|uint64_t) (\w+)[,)]", item.text):
            if not UNITS.search(size):
                yield f"{path.name}: {item.name}: the unit of '{size}' is not in its name"
        if re.match(r"FREEHOLD_API (bool|\w[\w ]* \*)", item.text) and not re.search(r"NULL|[Ff]alse|[Nn]ever fails|[Ww]hether|Returns", item.doc):
            yield f"{path.name}: {item.name} does not say when it fails"


def main():
    check = sys.argv[1] == "--check"
    paths = [pathlib.Path(name) for name in sys.argv[2 if check else 4:]]
    texts = {path: path.read_text() for path in paths}
    headers = {path: cut(text) for path, text in texts.items()}
    if check:
        wrong = [line for path, (head, items) in headers.items() for line in undocumented(path, head, items)]
        print("\n".join(wrong) if wrong else f"{sum(len(items) for _, items in headers.values())} declarations are documented")
        return 1 if wrong else 0
    functions, types = next((found for found in map(every_function, texts.values()) if found[0]), ({}, []))
    typed = {"freehold_" + name: prototype(name, *function) for name, function in functions.items()}
    version, date, out = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
    out.mkdir(parents=True, exist_ok=True)
    pages = {path: "freehold" if path.stem == "freehold" else "freehold_" + path.stem for path in paths}
    links = {f"freehold_{T}_{name}": "freehold_allocator" for T in [*types, "allocator"] for name in functions}
    for path, (head, items) in headers.items():
        others = sorted(other for other in pages.values() if other != pages[path])
        (out / (pages[path] + ".3")).write_text(page(path, version, date, head, items, typed, others))
        links.update({item.name: pages[path] for item in items})
    for name in links.keys() - set(pages.values()):
        (out / (name + ".3")).write_text(f".so man3/{links[name]}.3\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
