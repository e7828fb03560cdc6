package charttest

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

var write = flag.Bool("write", false, "write the table of values into the chart's README.md")

// The README's table is made of values.yaml: go test -C tools ./charttest -run README -write
func TestREADMETellsEveryValue(t *testing.T) {
	text, err := os.ReadFile(chartDir + "/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString("| Key | Type | Default | Description |\n|-----|------|---------|-------------|\n")
	if n := rows(t, &table, "", doc.Content[0]); n < 60 {
		t.Errorf("found %d values only", n)
	}
	readme, err := os.ReadFile(chartDir + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	old := regexp.MustCompile(`(?m)^\| Key \|(?:.*\n)*?\n`).FindString(string(readme))
	if *write {
		if old == "" {
			t.Fatal("the README has no table to replace")
		}
		if err := os.WriteFile(chartDir+"/README.md", []byte(strings.Replace(string(readme), old, table.String()+"\n", 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if old != table.String()+"\n" {
		t.Errorf("README.md is not what values.yaml says; go test -C tools ./charttest -run README -write makes it so")
	}
}

// rows writes a row for each documented value, and complains of every leaf
// that neither itself nor anything above it is documented.
func rows(t *testing.T, table *strings.Builder, path string, node *yaml.Node) (n int) {
	for i := 0; i < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		name := strings.TrimPrefix(path+"."+key.Value, ".")
		if _, what, ok := strings.Cut(key.HeadComment, "# -- "); ok {
			var goValue any
			if err := value.Decode(&goValue); err != nil {
				t.Fatal(err)
			}
			kind := map[string]string{"!!str": "string", "!!int": "int", "!!bool": "bool", "!!seq": "list", "!!map": "object"}[value.Tag]
			text, err := json.Marshal(goValue)
			if err != nil || kind == "" || strings.Contains(what, "\n") || strings.HasSuffix(what, ".") {
				t.Errorf("%s: a value is documented in one line without a full stop, and is of a type (%s): %q", name, value.Tag, what)
			}
			fmt.Fprintf(table, "| %s | %s | `%s` | %s |\n", name, kind, text, what)
			n++
		} else if value.Kind == yaml.MappingNode && len(value.Content) > 0 {
			n += rows(t, table, name, value)
		} else {
			t.Errorf("%s has no line that begins with # --", name)
		}
	}
	return n
}
