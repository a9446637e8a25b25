package layout

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A poll waits for what is not there yet, so nothing that it calls may end the test. Nor
// may a goroutine: FailNow ends only the goroutine that calls it. A poll is recognised by
// its result: every function literal that returns an error must return it.
func TestPollsDoNotEndTheTest(t *testing.T) {
	code := testCode{positions: token.NewFileSet(), ends: map[string]bool{}}
	for arguments := range 10 {
		for _, name := range []string{"Fatal", "Fatalf", "FailNow", "Skip", "Skipf", "SkipNow"} {
			code.ends[method("testing", name, arguments)] = true
		}
	}
	code.parse(t, "test")
	for known := -1; known < len(code.ends); { // Who calls one that ends the test is another.
		known = len(code.ends)
		code.inspect(code.learn)
	}
	for _, name := range []string{"await.Until", "kubectl.Must", "harness.Must", "harness..AwaitReady/2", "beam..Start/1"} {
		if !code.ends[name] {
			t.Errorf("%s is not recognised as one that ends the test", name)
		}
	}
	polls := 0
	code.inspect(func(file *ast.File, node ast.Node) {
		if body := pollIn(node); body != nil {
			polls++
			for _, call := range code.ending(file, body, true) {
				t.Errorf("%s: a poll or goroutine ends the test: return an error", code.positions.Position(call.Pos()))
			}
		}
	})
	if polls < 60 {
		t.Errorf("found only %d polls and goroutines", polls)
	}
}

// pollIn is the body of a function literal that returns an error, or of a goroutine.
func pollIn(node ast.Node) ast.Node {
	switch node := node.(type) {
	case *ast.FuncLit:
		if results := node.Type.Results; results != nil {
			if last, ok := results.List[len(results.List)-1].Type.(*ast.Ident); ok && last.Name == "error" {
				return node.Body
			}
		}
	case *ast.GoStmt:
		return node.Call
	case *ast.CallExpr:
		if selector, ok := node.Fun.(*ast.SelectorExpr); ok && selector.Sel.Name == "Go" {
			return node.Args[0]
		}
	}
	return nil
}

// testCode is the source of the tests.
type testCode struct {
	positions *token.FileSet
	files     []*ast.File
	// ends are the functions that may end the test, as package.Name; methods as
	// package..Name/arguments, because types are not known.
	ends map[string]bool
}

func (c *testCode) parse(t *testing.T, root string) {
	t.Helper()
	if err := filepath.WalkDir(root, func(name string, _ fs.DirEntry, err error) error {
		if err != nil || path.Ext(name) != ".go" {
			return err
		}
		file, err := parser.ParseFile(c.positions, name, nil, parser.SkipObjectResolution)
		c.files = append(c.files, file)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func (c *testCode) inspect(visit func(file *ast.File, node ast.Node)) {
	for _, file := range c.files {
		ast.Inspect(file, func(node ast.Node) bool {
			visit(file, node)
			return true
		})
	}
}

// learn recognises a function, or a function literal with a name, that may end the test.
func (c *testCode) learn(file *ast.File, node ast.Node) {
	switch node := node.(type) {
	case *ast.FuncDecl:
		if node.Body == nil || len(c.ending(file, node.Body, false)) == 0 {
			return
		}
		if node.Recv == nil {
			c.ends[file.Name.Name+"."+node.Name.Name] = true
			return
		}
		fewest, most := arity(node.Type)
		for count := fewest; count <= most; count++ {
			c.ends[method(file.Name.Name, node.Name.Name, count)] = true
		}
	case *ast.AssignStmt:
		literal, ok := node.Rhs[0].(*ast.FuncLit)
		if variable, named := node.Lhs[0].(*ast.Ident); ok && named && len(c.ending(file, literal.Body, false)) > 0 {
			c.ends[file.Name.Name+"."+variable.Name] = true
		}
	}
}

func method(of, name string, arguments int) string {
	return fmt.Sprintf("%s..%s/%d", of, name, arguments)
}

// arity is how many arguments a function takes.
func arity(function *ast.FuncType) (fewest, most int) {
	for _, parameter := range function.Params.List {
		if _, variadic := parameter.Type.(*ast.Ellipsis); variadic {
			return fewest, fewest + 10
		}
		fewest += max(1, len(parameter.Names))
	}
	return fewest, fewest
}

// ending are the calls below a node that may end the test. Function literals count if
// they are returned, or if all of them count.
func (c *testCode) ending(file *ast.File, node ast.Node, literals bool) (calls []ast.Node) {
	ast.Inspect(node, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.FuncLit:
			return literals
		case *ast.ReturnStmt:
			for _, result := range node.Results {
				if literal, ok := result.(*ast.FuncLit); ok && !literals {
					calls = append(calls, c.ending(file, literal.Body, false)...)
				}
			}
		case *ast.CallExpr:
			if slices.ContainsFunc(callees(file, node.Fun, len(node.Args)), func(name string) bool { return c.ends[name] }) {
				calls = append(calls, node)
			}
		}
		return true
	})
	return calls
}

// callees are the functions that may be meant by a call.
func callees(file *ast.File, called ast.Expr, arguments int) (names []string) {
	switch called := called.(type) {
	case *ast.Ident:
		return []string{file.Name.Name + "." + called.Name}
	case *ast.IndexExpr:
		return callees(file, called.X, arguments)
	case *ast.SelectorExpr:
		names = append(names, method(file.Name.Name, called.Sel.Name, arguments))
		of, _ := called.X.(*ast.Ident)
		for _, imported := range file.Imports {
			name := path.Base(strings.Trim(imported.Path.Value, `"`))
			if of != nil && of.Name == name {
				return []string{name + "." + called.Sel.Name}
			}
			names = append(names, method(name, called.Sel.Name, arguments))
		}
	}
	return names
}
