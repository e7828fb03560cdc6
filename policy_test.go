package lonja_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Who may import whom, and why. A package matches the first rule whose folder
// it lies in; tests may also use what forTests lists.
var importPolicy = []struct {
	folder string
	may    []string // folders of lonja's own
	why    string
}{
	{"events", []string{"events"}, "the published language must be usable by anyone, without the rest of lonja"},
	{"services/*", []string{"events", "kit", "services/self"}, "a service is of one purpose and knows the others only by their events"},
	{"gateway", []string{"events", "kit", "gateway"}, "the gateway asks over NATS, so that services can live anywhere"},
	{"shop/codec", []string{"events", "kit"}, "the tests of a service use it, so it cannot import any service"},
	{"shop/shoptest", []string{"", "events", "kit", "shop/codec"}, "the tests' harness is where kit and shop meet"},
	{"shop", []string{"", "events", "services", "kit", "shop"}, "the one place that names all the services"},
	{"audit", []string{"events", "kit"}, "the proof of the log judges events by itself: it must not share a fault with the services"},
	{"rewrite", []string{"audit", "events", "kit"}, "it proves its copy by the audit, and knows which events hold what in plain text"},
	{"kit", []string{"kit"}, "the kit knows nothing of any shop"},
	{"cmd/lonja", []string{"", "cmd/lonja", "events", "services", "shop", "gateway", "audit", "rewrite", "kit"}, "main names all the parts and wires them"},
	{"examples/tickets", []string{"kit"}, "an application that is not the shop: it has only the kit, which others have too"},
	{"test", []string{"", "test", "audit", "client", "events", "kit", "services", "shop"}, "the end-to-end tests drive the real program, or name all its parts; nothing else may need them"},
	{"client", []string{"client"}, "whoever writes a storefront gets the HTTP API and nothing of what is behind it"},
	{"examples", []string{"client", "examples"}, "an example is a stranger: it sees only the HTTP API, through the public client"},
	{"chaos", []string{"", "chaos", "client", "events", "kit", "shop"}, "the fault tests drive real processes and read raw streams, and ask the shop only who its services are"},
	{"bench", []string{"", "bench", "client", "events", "kit"}, "the benchmark drives the shop from outside and measures its parts beside it"},
	{"", nil, "the top of the tree holds only what is embedded"},
}

// What the tests of a folder may import besides: end-to-end tests name all the parts.
var testsMay = map[string][]string{
	"audit":      {"", "services", "shop"},
	"rewrite":    {"", "shop"},
	"gateway":    {"services", "shop"},
	"client":     {"events", "gateway", "kit", "services", "shop"}, // a real gateway answers it
	"cmd/lonja":  {"test/harness"},                                 // it runs its own program
	"bench/seed": {"audit", "services", "shop"},                    // what it writes must be what services write
}

// What only tests may import, and the tests of any folder but the kit's the shop's.
var forTests = []string{"kit/kittest", "kit/httpapi/apitest", "kit/httpapi/openapitest", "shop/shoptest"}

// The only things from outside that the published language may need.
var languageMayUse = []string{"github.com/bojanz/currency",
	"github.com/go-json-experiment/json/v1", "github.com/golang-jwt/jwt/v5", "github.com/rivo/uniseg", "golang.org/x/text/cases", "golang.org/x/text/unicode/norm"}

func TestPackagesImportOnlyWhatTheyMay(t *testing.T) {
	checked := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || path == "tools" || path == "data") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		checked++
		checkImports(t, path)
		return nil
	})
	if err != nil || checked < 30 {
		t.Fatalf("looked at %d files: %v", checked, err)
	}
}

func checkImports(t *testing.T, path string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	folder, isTest := filepath.ToSlash(filepath.Dir(path)), strings.HasSuffix(path, "_test.go")
	if folder == "." {
		folder = ""
	}
	for _, rule := range importPolicy {
		if !inFolder(folder, rule.folder) {
			continue
		}
		for _, spec := range file.Imports {
			name, _ := strconv.Unquote(spec.Path.Value)
			own, isOwn := strings.CutPrefix(name+"/", "lonja/")
			own = strings.TrimSuffix(own, "/")
			may := rule.may
			if isTest {
				may = slices.Concat(may, testsMay[folder])
				if !inFolder(folder, "kit") {
					may = append(may, forTests...)
				}
			}
			switch {
			case isOwn && !mayImport(folder, own, may):
				t.Errorf("%s imports %s: %s", path, name, rule.why)
			case mayImport(folder, own, forTests) && !isTest && !mayImport("", folder, slices.Concat(forTests, []string{"test/harness"})):
				t.Errorf("%s imports %s, which is for tests", path, name)
			case !isOwn && !isStandard(name) && (rule.folder == "events" && !slices.Contains(languageMayUse, name) || rule.folder == "client"):
				t.Errorf("%s imports %s: %s", path, name, rule.why)
			}
		}
		return
	}
}

// isStandard reports whether a package is of the standard library.
func isStandard(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	return !strings.Contains(first, ".")
}

func mayImport(folder, own string, may []string) bool {
	for _, m := range may {
		if m == "services/self" {
			parts := strings.SplitN(folder, "/", 3)
			m = strings.Join(parts[:2], "/")
		}
		if m == "" && own == "" || m != "" && inFolder(own, m) {
			return true
		}
	}
	return false
}

func inFolder(path, folder string) bool {
	if parent, ok := strings.CutSuffix(folder, "/*"); ok {
		return strings.HasPrefix(path, parent+"/")
	}
	return folder == "" || path == folder || strings.HasPrefix(path, folder+"/")
}
