package events_test

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// TestComments_AreThoseOfTheSource keeps comments.json, which the descriptions in
// JSON Schemas come from.
func TestComments_AreThoseOfTheSource(t *testing.T) {
	comments := map[string]string{}
	for _, folder := range []string{".", "command", "query"} {
		fileset := token.NewFileSet()
		var files []*ast.File
		sources, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, source := range sources {
			if strings.HasSuffix(source, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(fileset, source, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, file)
		}
		pkg, err := doc.NewFromFiles(fileset, files, path.Join("lonja/events", folder), doc.PreserveAST)
		if err != nil {
			t.Fatal(err)
		}
		for _, typ := range pkg.Types {
			addComments(comments, pkg.Name+"."+typ.Name, typ)
		}
	}
	if comments["events.OrderPlaced"] == "" || comments["events.OrderPaid.PaymentID"] == "" {
		t.Fatalf("comments are missing: %v", comments)
	}
	data, err := json.MarshalIndent(comments, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	want := append(data, '\n')
	if *write {
		if err := os.WriteFile("comments.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("comments.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("comments.json is not what the source says: go test ./events -run Comments -write writes it")
	}
}

func addComments(comments map[string]string, name string, typ *doc.Type) {
	spec, _ := typ.Decl.Specs[0].(*ast.TypeSpec)
	fields, isStruct := spec.Type.(*ast.StructType)
	if !isStruct {
		return
	}
	add := func(key, text string) {
		if text = strings.Join(strings.Fields(text), " "); text != "" {
			comments[key] = text
		}
	}
	add(name, typ.Doc)
	for _, f := range fields.Fields.List {
		for _, n := range f.Names {
			add(name+"."+n.Name, f.Doc.Text()+" "+f.Comment.Text())
		}
	}
}
