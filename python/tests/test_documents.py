# SPDX-License-Identifier: MIT
"""The examples that people copy run, and the documents miss no name."""
import ast
import contextlib
import doctest
import inspect
import io
import re
import unittest

import simple_allocator as sa
from places import PROJECT


def public(owner):
    return [name for name in vars(owner) if not name.startswith("_")]


def documented():
    """Every public name and what it is: of the module, and of its classes that are no named tuples."""
    yield "simple_allocator", sa
    for name in sa.__all__:
        thing = getattr(sa, name)
        yield name, thing
        if inspect.isclass(thing) and not issubclass(thing, tuple) and name != "Trait":
            for member in public(thing):
                yield f"{name}.{member}", getattr(thing, member)


class Documents(unittest.TestCase):
    def test_examples_of_the_docstrings_are_right(self):
        runner = doctest.DocTestRunner()
        parser = doctest.DocTestParser()
        examples = 0
        for name, thing in documented():
            said = io.StringIO()
            test = parser.get_doctest(thing.__doc__, {"sa": sa}, name, None, None)
            examples += len(test.examples)
            with self.subTest(name):
                failed, _ = runner.run(test, out=said.write)
                self.assertEqual(failed, 0, said.getvalue())
        self.assertGreater(examples, 60)

    def test_every_public_name_has_a_docstring_and_a_signature(self):
        for name, thing in documented():
            with self.subTest(name):
                self.assertTrue(thing.__doc__ and thing.__doc__.strip())
                if inspect.isroutine(thing) and not inspect.isgetsetdescriptor(thing):
                    inspect.signature(thing)

    def test_the_package_exports_what_the_module_has(self):
        self.assertEqual(sorted(public(sa._simple_allocator)), sorted(sa.__all__))

    def test_the_stubs_say_the_same_names_and_arguments(self):
        tree = ast.parse((PROJECT / "python/simple_allocator/__init__.pyi").read_text())
        stubs = {node.name: node for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
        self.assertEqual(sorted(name for name in stubs if not name.startswith("_")), sorted(sa.__all__))

        def arguments(function):
            all_of = function.args
            return [a.arg for a in all_of.posonlyargs + all_of.args], [a.arg for a in all_of.kwonlyargs]

        for name in sa.__all__:
            thing = getattr(sa, name)
            if isinstance(stubs[name], ast.FunctionDef):
                self.assertEqual(sum(arguments(stubs[name]), []), list(inspect.signature(thing).parameters), name)
                continue
            inside = [node for node in stubs[name].body if isinstance(node, ast.FunctionDef)]
            if issubclass(thing, tuple):
                self.assertEqual([field.name for field in inside], list(thing.__match_args__))
            elif name == "Trait":
                told = {node.targets[0].id: node.value.value for node in stubs[name].body if isinstance(node, ast.Assign)}
                self.assertEqual(told, {trait.name: trait.value for trait in sa.Trait})
            else:
                self.assertEqual(sorted(f.name for f in inside if not f.name.startswith("_")), sorted(public(thing)))
                for function in inside:
                    member = getattr(thing, function.name, None)
                    if inspect.isroutine(member) and not function.name.startswith("_"):
                        if not inspect.isgetsetdescriptor(member):
                            positional, only = arguments(function)
                            parameters = [p for p in inspect.signature(member).parameters if p != "self"]
                            self.assertEqual(positional[1:] + only, parameters, function.name)

    def test_programs_of_the_manual_run(self):
        text = (PROJECT / "docs/python.md").read_text()
        programs = re.findall(r"^```python\n(.*?)^```\n(?:\n?```text\n(.*?)^```)?", text, re.M | re.S)
        self.assertGreater(len(programs), 4)
        for program, output in programs:
            said = io.StringIO()
            with self.subTest(program), contextlib.redirect_stdout(said):
                exec(compile(program, "docs/python.md", "exec"), {"__name__": "__main__"})
            if output:
                self.assertEqual(said.getvalue(), output)

    def test_the_manual_has_every_public_name(self):
        text = (PROJECT / "docs/python.md").read_text()
        for name, thing in documented():
            with self.subTest(name):
                self.assertRegex(text, rf"`[^`\n]*\b{re.escape(name.split('.')[-1])}\b[^`\n]*`")
        for name in sa.__all__:
            thing = getattr(sa, name)
            if inspect.isclass(thing) and issubclass(thing, tuple):
                for field in thing.__match_args__:
                    self.assertRegex(text, rf"`[^`\n]*\b{field}\b[^`\n]*`", f"{name}.{field}")

    def test_the_version_of_the_package_is_the_librarys(self):
        self.assertEqual(sa.__version__, (PROJECT / "VERSION").read_text().strip())
