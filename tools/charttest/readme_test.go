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
	var table strings.Builder
	table.WriteString("| Key | Type | Default | Description |\n|-----|------|---------|-------------|\n")
	for _, v := range documented(t) {
		fmt.Fprintf(&table, "| %s | %s | `%s` | %s |\n", v.path, v.kind, v.byDefault, v.what)
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

// value is one that values.yaml documents.
type value struct{ path, kind, byDefault, what string }

// documented reads values.yaml, and complains of every leaf that neither itself
// nor anything above it is documented.
func documented(t *testing.T) []value {
	t.Helper()
	text, err := os.ReadFile(chartDir + "/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	var found []value
	read(t, &found, "", doc.Content[0])
	if len(found) < 60 {
		t.Errorf("found %d values only", len(found))
	}
	return found
}

func read(t *testing.T, found *[]value, path string, node *yaml.Node) {
	for i := 0; i < len(node.Content); i += 2 {
		key, content := node.Content[i], node.Content[i+1]
		v := value{path: strings.TrimPrefix(path+"."+key.Value, ".")}
		var ok bool
		if _, v.what, ok = strings.Cut(key.HeadComment, "# -- "); !ok {
			if content.Kind != yaml.MappingNode || len(content.Content) == 0 {
				t.Errorf("%s has no line that begins with # --", v.path)
			}
			read(t, found, v.path, content)
			continue
		}
		var decoded any
		if err := content.Decode(&decoded); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(decoded)
		v.byDefault = string(text)
		v.kind = map[string]string{"!!str": "string", "!!int": "int", "!!bool": "bool", "!!seq": "list", "!!map": "object"}[content.Tag]
		if err != nil || v.kind == "" || strings.Contains(v.what, "\n") || strings.HasSuffix(v.what, ".") {
			t.Errorf("%s: a value is documented in one line without a full stop, and is of a type (%s): %q", v.path, content.Tag, v.what)
		}
		*found = append(*found, v)
	}
}
