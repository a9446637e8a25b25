package layout

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The longest that a file and the mean of all functions may be, in lines.
const (
	longestFile  = 300
	meanFunction = 12
)

// Tests, what only they use, and generated code may be longer.
func TestFilesAndFunctionsAreShort(t *testing.T) {
	functions, lines := 0, 0
	for _, file := range sources(t, ".") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if length := bytes.Count(text, []byte("\n")); length > longestFile {
			t.Errorf("%s has %d lines, and may have %d: split it by subject", file, length, longestFile)
		}
		files := token.NewFileSet()
		parsed, err := parser.ParseFile(files, file, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, declaration := range parsed.Decls {
			if function, ok := declaration.(*ast.FuncDecl); ok {
				functions++
				lines += files.Position(function.End()).Line - files.Position(function.Pos()).Line + 1
			}
		}
	}
	if functions < 500 {
		t.Fatalf("only %d functions were found", functions)
	}
	if lines > meanFunction*functions {
		t.Errorf("functions have %.1f lines on average, and may have %d", float64(lines)/float64(functions), meanFunction)
	}
	t.Logf("%d functions of %.1f lines", functions, float64(lines)/float64(functions))
}

// sources are the Go files in these directories that are neither tests, nor for tests
// alone, nor generated.
func sources(t *testing.T, directories ...string) (files []string) {
	t.Helper()
	for _, directory := range directories {
		if err := filepath.WalkDir(directory, func(file string, entry fs.DirEntry, err error) error {
			switch name := entry.Name(); {
			case err != nil:
				return err
			case entry.IsDir() && (strings.HasSuffix(name, "test") || strings.HasPrefix(name, ".") && file != "."):
				return filepath.SkipDir
			case strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") && !strings.HasPrefix(name, "zz_generated"):
				files = append(files, file)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	return files
}
