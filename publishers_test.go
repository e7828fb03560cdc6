package lonja_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Every call that sends something to NATS, by file, and what it sends. Events go out
// through eventlog.Publisher alone. The others send what is no event, to subjects where
// no event is recorded; they are no Watermill messages, whose UUID would stand in
// headers that have never had one.
var sends = map[string]struct {
	calls int
	what  string
}{
	"publisher.go":   {1, "events"},
	"eventlog.go":    {1, "events, to the publisher"},
	"syncserver.go":  {2, "requests to wait for the disk, and their answers"},
	"synced.go":      {1, "whatever the next ones do, when it waits for the disk"},
	"deadletter.go":  {2, "dead letters, with all headers of what died, repeated ones too, which Watermill's metadata cannot hold; and their way back"},
	"revocation.go":  {1, "revocations"},
	"claim.go":       {1, "claims on what is done outside"},
	"keystream.go":   {1, "keys that seal events, wrapped"},
	"defer.go":       {1, "commands that are left for later"},
	"deferred.go":    {1, "outcomes of those"},
	"commands.go":    {1, "answers, on core NATS"},
	"queries.go":     {1, "answers of a replica about its health"},
	"rebuild.go":     {2, "a rebuild's progress, and the operator's request for it"},
	"changes.go":     {1, "news of changed keys, on core NATS"},
	"client.go":      {1, "requests for a service's health"},
	"parts.go":       {1, "queries whose answer comes in parts"},
	"trust.go":       {1, "commands, queries, and requests to JetStream"},
	"store.go":       {1, "messages as they were stored before, into the copy that rewrite-log makes"},
	"permissions.go": {8, "nothing: a field of that name lists what may be published"},
	"users.go":       {1, "nothing: the same field"},
	"operations.go":  {1, "nothing: the same field"},
}

// sending are the methods of connections, JetStream, messages and publishers that send.
var sending = []string{
	"Publish", "PublishMsg", "PublishAsync", "PublishMsgAsync", "PublishRequest", "PublishMsgBatch", "AddMsg", "CommitMsg",
	"Request", "RequestMsg", "RequestWithContext", "RequestMsgWithContext",
	"Respond", "RespondMsg", "RespondJSON",
}

func TestNothingButThePublisherPublishesEvents(t *testing.T) {
	found := map[string]int{}
	for _, folder := range []string{"kit", "events", "services", "gateway", "shop", "audit", "rewrite", "client", "cmd"} {
		err := filepath.WalkDir(folder, func(name string, d fs.DirEntry, err error) error {
			switch {
			case err != nil && name == folder:
				return fs.SkipDir // no such folder
			case err != nil:
				return err
			case d.IsDir() && slices.Contains([]string{"testdata", "shoptest", "kittest", "apitest"}, d.Name()):
				return fs.SkipDir // tests record events by hand
			case !d.IsDir() && strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go"):
				for _, at := range sendsOf(t, name) {
					base := filepath.Base(name)
					if found[base]++; found[base] > sends[base].calls {
						t.Errorf("%s sends something to NATS: events go through eventlog.Publisher; of anything else, say here what it is", at)
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(sends)) {
		if found[name] < sends[name].calls {
			t.Errorf("%s sends %d times, not %d (%s)", name, found[name], sends[name].calls, sends[name].what)
		}
	}
}

// sendsOf are the places in a file where it sends something. A function of a package,
// such as natsauth.AllowPublish, is no method of a connection.
func sendsOf(t *testing.T, name string) (places []string) {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	packages := map[string]bool{}
	for _, spec := range file.Imports {
		imported, _ := strconv.Unquote(spec.Path.Value)
		packages[path.Base(imported)] = true
		if spec.Name != nil {
			packages[spec.Name.Name] = true
		}
	}
	called := map[ast.Expr]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		if c, ok := n.(*ast.CallExpr); ok {
			called[c.Fun] = true
		}
		call, ok := n.(*ast.SelectorExpr) // a method that is only named sends later
		if !ok || !slices.Contains(sending, call.Sel.Name) {
			return true
		}
		if call.Sel.Name == "Request" && !called[call] {
			return true // the field of a call over HTTP
		}
		if of, ok := call.X.(*ast.Ident); !ok || !packages[of.Name] {
			places = append(places, fmt.Sprint(files.Position(call.Pos())))
		}
		return true
	})
	return places
}
