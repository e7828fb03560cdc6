package events_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"lonja/events"
)

// An event that is missing in the registry can be recorded but not read again.
func TestRegistry_HasEveryEventOfThePackage(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range eventNames(file) {
			if found++; !events.Known("lonja." + name) {
				t.Errorf("%s: the event %s is missing in the registry in event.go", path, name)
			}
		}
	}
	if found != len(events.Types())+len(events.OlderTypes()) {
		t.Errorf("found %d methods EventName for %d registered events", found, len(events.Types())+len(events.OlderTypes()))
	}
}

// eventNames returns the names that the EventName methods of a file return.
func eventNames(file *ast.File) (names []string) {
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok || f.Recv == nil || f.Name.Name != "EventName" {
			continue
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if text, ok := n.(*ast.BasicLit); ok {
				names = append(names, strings.Trim(text.Value, `"`))
			}
			return true
		})
	}
	return names
}
