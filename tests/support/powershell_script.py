"""A whole PowerShell script on a computer that is only pretended: more of the language than the checks need.

The larger half of `tests.support.powershell`: pipelines, script blocks, try and catch, members that are set,
programs that are started. The computer brings cmdlets, programs and .NET (`Computer`).
"""

from dataclasses import dataclass
from typing import Any, Protocol

from tests.support.dotnet import VOID, DotnetError, NotKnown
from tests.support.powershell import (
    Node,
    PowerShell,
    Scope,
    Thrown,
    collected,
    text_of,
    unrolled,
)

SWITCHES = {
    *("-Force", "-Recurse", "-Sum", "-Wait", "-PassThru", "-Descending", "-Directory", "-File"),
}


class Exit(Exception):
    """`exit`; its argument is the status."""


@dataclass(frozen=True)
class Block:
    """A script block; it runs in the scope of whoever starts it, and sees the variables from there."""

    body: Node


@dataclass
class Given:
    """The words of a command: those with a name in front, and the others in their order."""

    named: dict[str, Any]
    others: list[Any]
    words: list[Any]


class Computer(Protocol):
    """What the script finds beside the language."""

    def program(self, path: str, words: list[str]) -> tuple[list[str], int]:
        """Output lines and exit status of a program."""

    def cmdlet(self, name: str, given: Given, incoming: list[Any]) -> list[Any]:
        """The output of a cmdlet."""


class Script(PowerShell):
    """One run of a script: `start` calls its function that ends in `exit`."""

    def __init__(self, text: str, computer: Any, variables: dict[str, Any]) -> None:
        """`variables`: the parameters, and what PowerShell sets by itself."""
        super().__init__(text, computer)
        self._computer = computer
        self._globals = Scope(None, {name.lower(): value for name, value in variables.items()})

    def start(self, name: str) -> int:
        """The exit status."""
        try:
            self._call(name, [], self._globals)
        except Exit as ended:
            return int(ended.args[0])
        raise NotKnown("the script ended without an exit")

    def call(self, name: str, *arguments: Any) -> Any:
        """See `PowerShell.call`."""
        return collected(self._call(name, list(arguments), self._globals))

    def run_block(self, block: Block, scope: Scope, item: Any = VOID) -> list[Any]:
        """The output of a script block, with `$_` where there is one."""
        inner = Scope(scope, {} if item is VOID else {"_": item})
        output: list[Any] = []
        self._run(block.body, inner, output)
        return output

    def _do_pipeline(self, node: Node, scope: Scope, output: list[Any]) -> None:
        (inner,) = node.named_children
        if inner.type == "assignment_expression":
            self._assign(inner, scope)
        else:
            output += self._chain(inner, scope)

    def _of_pipeline(self, node: Node, scope: Scope) -> Any:
        (inner,) = node.named_children
        if inner.type == "assignment_expression":
            return self._assign(inner, scope)
        if len(inner.named_children) == 1 and inner.named_children[0].type != "command":
            return self._value(inner.named_children[0], scope)
        return collected(self._chain(inner, scope))

    def _chain(self, node: Node, scope: Scope) -> list[Any]:
        items: list[Any] = []
        for place, part in enumerate(node.named_children):
            if part.type == "command":
                items = self._piped(part, scope, items)
            elif place == 0:
                items = unrolled(self._value(part, scope))
            else:
                raise NotKnown(text_of(part)[:60])
        return items

    def _piped(self, node: Node, scope: Scope, incoming: list[Any]) -> list[Any]:
        given = self._given(node, scope)
        name = next((child for child in node.named_children if child.type == "command_name"), None)
        if name is None:
            return self._started(node, given, scope)
        match text_of(name).lower():
            case "where-object":
                (block,) = given.others
                return [each for each in incoming if collected(self.run_block(block, scope, each)) is True]
            case "foreach-object":
                (block,) = given.others
                return [found for each in incoming for found in self.run_block(block, scope, each)]
            case "sort-object":
                return self._sorted(given, scope, incoming)
            case word if word in self._functions:
                if given.named:
                    raise NotKnown(text_of(node)[:60])
                return self._call(word, given.others, scope)
            case word:
                return self._computer.cmdlet(word, given, incoming)

    def _sorted(self, given: Given, scope: Scope, incoming: list[Any]) -> list[Any]:
        by = given.named["-Property"]

        def key(item: Any) -> Any:
            if isinstance(by, Block):
                return collected(self.run_block(by, scope, item))
            return self._dotnet.member(item, by)

        return sorted(incoming, key=key, reverse="-Descending" in given.named)

    def _given(self, node: Node, scope: Scope) -> Given:
        given = Given({}, [], [])
        elements = [each for each in node.named_children if each.type == "command_elements"]
        waiting = ""
        for element in elements[0].named_children if elements else []:
            if element.type == "command_argument_sep":
                continue
            if element.type == "command_parameter":
                given.words.append(text_of(element))
                if waiting:
                    given.named[waiting] = True
                waiting = text_of(element)
                if waiting in SWITCHES:
                    given.named[waiting], waiting = True, ""
                continue
            value = text_of(element) if element.type == "generic_token" else self._value(element, scope)
            given.words.append(value)
            if waiting:
                given.named[waiting], waiting = value, ""
            else:
                given.others.append(value)
        if waiting:
            given.named[waiting] = True
        return given

    def _started(self, node: Node, given: Given, scope: Scope) -> list[Any]:
        operator, target, *_ = node.named_children
        if text_of(operator) != "&":
            raise NotKnown(text_of(node)[:60])
        inner = target
        while inner.named_children:
            inner = inner.named_children[0]
        what = self._value(inner if inner.type == "variable" else target, scope)
        if isinstance(what, Block):
            return self.run_block(what, scope)
        words: list[str] = []
        for word in given.words:
            words += [str(each) for each in word] if isinstance(word, list) else [str(word)]
        lines, status = self._computer.program(what, words)
        self._globals.values["lastexitcode"] = status
        return list(lines)

    def _of_script_block_expression(self, node: Node, _scope: Scope) -> Any:
        (body,) = node.named_children
        return Block(body)

    def _do_if_statement(self, node: Node, scope: Scope, output: list[Any]) -> None:
        condition, block, *others = node.named_children
        if self._is_true(condition, scope):
            self._run(block, scope, output)
            return
        for other in others:
            clauses = other.named_children if other.type == "elseif_clauses" else [other]
            for clause in clauses:
                parts = clause.named_children
                if clause.type == "else_clause" or self._is_true(parts[0], scope):
                    self._run(parts[-1], scope, output)
                    return

    def _of_expression_with_unary_operator(self, node: Node, scope: Scope) -> Any:
        if len(node.children) == 2 and text_of(node.children[0]) == "-":
            return -self._value(node.children[1], scope)
        return super()._of_expression_with_unary_operator(node, scope)

    def _of_type_literal(self, node: Node, _scope: Scope) -> Any:
        return text_of(node)

    def _of_if_statement(self, node: Node, scope: Scope) -> Any:
        output: list[Any] = []
        self._do_if_statement(node, scope, output)
        return collected(output)

    def _do_try_statement(self, node: Node, scope: Scope, output: list[Any]) -> None:
        block, *rest = node.named_children
        try:
            try:
                self._run(block, scope, output)
            except (DotnetError, Thrown) as exc:
                cause = exc.args[0] if isinstance(exc, Thrown) else exc
                handler = self._handler(rest, cause)
                if handler is None:
                    raise
                inner = Scope(scope, {"_": self._dotnet.error_record(cause)})
                self._run(handler, inner, output)
                # what a catch block assigns is the function's own
                scope.values.update({name: value for name, value in inner.values.items() if name != "_"})
        finally:
            for each in rest:
                if each.type == "finally_clause":
                    self._run(each.named_children[0], scope, output)

    def _handler(self, clauses: list[Node], cause: DotnetError) -> Node | None:
        for clauses_node in clauses:
            for clause in clauses_node.named_children if clauses_node.type == "catch_clauses" else []:
                *types, block = clause.named_children
                names = [text_of(kind)[1:-1] for each in types for kind in each.named_children]
                if not names or any(self._dotnet.is_a(cause, name) for name in names):
                    return block
        return None

    def _do_flow_control_statement(self, node: Node, scope: Scope, output: list[Any]) -> None:
        if node.children[0].type.lower() == "exit":
            raise Exit(self._value(node.named_children[0], scope))
        super()._do_flow_control_statement(node, scope, output)

    def _assign(self, node: Node, scope: Scope) -> Any:
        left, operator, right = node.named_children
        value = self._value(right, scope)
        if value is VOID:
            raise NotKnown(f"nothing is assigned: {text_of(node)[:60]}")
        targets = self._targets(left)
        match text_of(operator):
            case "+=" | "-=":
                value = self._dotnet.operator(text_of(operator)[0], self._value(targets[0], scope), value)
            case "=":
                pass
            case word:
                raise NotKnown(word)
        if len(targets) > 1:
            items = list(value) if isinstance(value, list) else [value]
            values = [*items, *[None] * (len(targets) - len(items))]
            for target, each in zip(targets, values, strict=True):
                self._set(target, each, scope)
        else:
            self._set(targets[0], value, scope)
        return value

    def _targets(self, node: Node) -> list[Node]:
        while node.type not in {"variable", "member_access", "element_access"}:
            if len(node.named_children) > 1:
                return [self._targets(each)[0] for each in node.named_children]
            (node,) = node.named_children
        return [node]

    def _set(self, target: Node, value: Any, scope: Scope) -> None:
        if target.type == "variable":
            name = text_of(target)[1:].lower()
            place = self._globals if name.startswith("script:") else scope
            place.values[name.removeprefix("script:")] = value
            return
        owner, what = target.named_children
        if target.type == "element_access":
            self._value(owner, scope)[self._value(what, scope)] = value
        elif owner.type == "type_literal":
            self._dotnet.set_static(text_of(owner)[1:-1], text_of(what), value)
        else:
            self._dotnet.set_member(self._value(owner, scope), text_of(what), value)

    def _of_variable(self, node: Node, scope: Scope) -> Any:
        name = text_of(node)[1:].lower()
        if name.startswith("script:"):
            return self._globals.read(name.removeprefix("script:"))
        return super()._of_variable(node, scope)

    def _of_verbatim_here_string_characters(self, node: Node, _scope: Scope) -> Any:
        return text_of(node)[3:-3]

    def escape(self, text: str) -> str:
        """What a backtick makes of the next sign."""
        return text.replace("`n", "\n")
