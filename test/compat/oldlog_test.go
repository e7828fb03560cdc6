package compat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lonja/events"
	"lonja/events/query"
	"lonja/test/harness"
)

// typesThen are the types of all events that there were at each commit.
var typesThen = map[string]string{
	"301d33b": `order.awaiting_payment.v1 order.cancelled.v1 order.delivered.v1 order.paid.v1 order.placed.v1 order.shipped.v1
		payment.captured.v1 payment.declined.v1 payment.expired.v1 payment.refunded.v1 payment.requested.v1 payment.voided.v1
		product.archived.v1 product.changed.v1 product.created.v1 product.restored.v1
		realm.admin_appointed.v1 realm.key_added.v1 realm.opened.v1 session.ended.v1 session.rotated.v1 session.started.v1
		stock.adjusted.v1 stock.committed.v1 stock.counted.v1 stock.refused.v1 stock.released.v1 stock.reserved.v1 stock.returned.v1
		user.password_changed.v1 user.registered.v1 user.roles_changed.v1`,
	"b9b4279": `order.awaiting_payment.v1 order.cancelled.v1 order.delivered.v1 order.paid.v1 order.placed.v1 order.shipped.v1
		payment.captured.v1 payment.declined.v1 payment.expired.v1 payment.refunded.v1 payment.requested.v1 payment.voided.v1
		product.archived.v1 product.changed.v1 product.created.v1 product.restored.v1
		realm.admin_appointed.v1 realm.key_added.v2 realm.opened.v2 session.ended.v1 session.rotated.v1 session.started.v1
		stock.adjusted.v1 stock.committed.v1 stock.counted.v1 stock.refused.v1 stock.released.v1 stock.reserved.v1 stock.returned.v1
		user.email_changed.v1 user.email_claimed.v1 user.email_released.v1 user.erased.v1 user.password_changed.v2 user.profile_changed.v1 user.registered.v2 user.roles_changed.v1`,
}

// plain reports whether the log was opened by a version that sealed nothing.
func (r Record) plain() bool { return slices.Contains(r.Types, "lonja.realm.opened.v1") }

// forEachArchive runs a test with a copy of each archive.
func forEachArchive(t *testing.T, test func(t *testing.T, data string, record Record)) {
	archives, err := filepath.Glob("testdata/log-*.tar.gz")
	if err != nil || len(archives) != len(typesThen) {
		t.Fatalf("%d archives, and typesThen has %d commits: %v", len(archives), len(typesThen), err)
	}
	for _, archive := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(archive), ".tar.gz"), func(t *testing.T) {
			data, record := unpack(t, archive)
			test(t, data, record)
		})
	}
}

// Whoever starts this version on an old log can go back to the old version: nothing that it
// does by itself is an event, except what is due, which the old version would do, too, and receipts,
// on a stream that the old version does not read. Its answers
// are the same, on the views that it found.
func TestOldLog_StartingRecordsNothing(t *testing.T) {
	forEachArchive(t, func(t *testing.T, data string, record Record) {
		forgetPending(t, data)
		before, types := readLog(t, data)
		want := strings.Fields(typesThen[record.Commit])
		for i := range want {
			want[i] = "lonja." + want[i]
		}
		if !slices.Equal(types, want) || !slices.Equal(record.Types, want) {
			t.Fatalf("the archive holds events of the types\n%v\nits record says\n%v\nand there were\n%v", types, record.Types, want)
		}
		p, s := up(t, data)
		nobody := &harness.Person{Shop: s, Name: "nobody"}
		for _, e := range record.Reads {
			if e.By == "boss" && strings.HasPrefix(e.Path, "/api/products") {
				check(t, nobody, e)
			}
		}
		p.Stop()
		after, _ := readLog(t, data)
		for _, name := range eventStreams {
			had := len(before[name])
			if len(after[name]) < had || !slices.Equal(before[name], after[name][:had]) {
				t.Errorf("%s had %d events and has %d, or others", name, had, len(after[name]))
			}
			for seq := had + 1; seq <= len(after[name]); seq++ {
				if e, is := eventAt(t, data, name, seq).(events.OfOrder); !is || !slices.ContainsFunc(record.Orders["timer"], func(h Held) bool { return orderID(h) == e.Order() }) {
					t.Errorf("%s:%d was recorded, which is about no order that was due", name, seq)
				}
			}
		}
	})
}

// An old log goes on: everything that was asked of it then has its answer, and all that was
// under way then ends.
func TestOldLog_GoesOn(t *testing.T) {
	forEachArchive(t, func(t *testing.T, data string, record Record) {
		deleteViews(t, data)
		storeDeferred(t, data, record.Stored)
		goesOn(t, data, record)
	})
}

// So does its copy in which nothing personal is left in plain text, on the views that the other
// services had.
func TestOldLog_GoesOnRewritten(t *testing.T) {
	forEachArchive(t, func(t *testing.T, data string, record Record) {
		storeDeferred(t, data, record.Stored)
		rewritten := filepath.Join(t.TempDir(), "rewritten")
		before, _ := readLog(t, data)
		t.Log(harness.Run(t, "rewrite-log", "--data", data, "--out", rewritten))
		wantNoAddress(t, rewritten, record.Accounts)
		after, types := readLog(t, rewritten)
		for _, name := range eventStreams {
			if same := slices.Equal(before[name], after[name]); same == (name == "IDENTITY") || len(before[name]) != len(after[name]) {
				t.Errorf("%s had %d events and has %d, the same: %v", name, len(before[name]), len(after[name]), same)
			}
		}
		for _, older := range events.OlderTypes() {
			if slices.Contains(types, older) {
				t.Errorf("events of the type %s are left", older)
			}
		}
		goesOn(t, rewritten, record)
	})
}

// wantNoAddress fails the test if a file in a folder holds one of the accounts' addresses.
func wantNoAddress(t *testing.T, dir string, accounts []Account) {
	t.Helper()
	searched := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		searched++
		content, err := os.ReadFile(path)
		for _, a := range accounts {
			if bytes.Contains(bytes.ToLower(content), bytes.ToLower([]byte(a.Email))) {
				t.Errorf("%s holds the address %s", path, a.Email)
			}
		}
		return err
	})
	if err != nil || searched < 50 {
		t.Fatalf("%d files: %v", searched, err)
	}
}

// goesOn starts a shop on an old log and lets everything of then go on.
func goesOn(t *testing.T, data string, record Record) {
	t.Helper()
	before, _ := readLog(t, data)
	p, s := up(t, data)
	o := &opened{s, record, map[string]*harness.Person{}}
	for _, a := range record.Accounts {
		o.people[a.Name] = s.LogIn(a.Email, a.Password)
	}
	o.answers()
	o.replays()
	o.deferred()
	o.timers()
	o.orders()
	o.sessions()
	o.addresses()
	harness.Eventually(t, func() error {
		out, err := harness.Command(t, "audit", "--settled", "--nats", p.Said["nats"], "--data", data).CombinedOutput()
		if err != nil {
			return fmt.Errorf("lonja audit: %w\n%s", err, out)
		}
		return nil
	})
	p.Stop()
	after, _ := readLog(t, data)
	for _, name := range eventStreams {
		if len(after[name]) < len(before[name]) || !slices.Equal(before[name], after[name][:len(before[name])]) {
			t.Errorf("%s: events of then are others now", name)
		}
	}
}

// up starts the shop on an old log, under the address that its links have.
func up(t *testing.T, data string) (*harness.Process, *harness.Shop) {
	t.Helper()
	p, s := harness.Up(t, "--data", data, "--public-url", PublicURL)
	s.AwaitReady()
	return p, s
}

// opened is a shop on an old log, and the people of then, who are logged in.
type opened struct {
	*harness.Shop
	record Record
	people map[string]*harness.Person
}

// check sends a request and fails the test unless the answer has all that it had then.
func check(t *testing.T, by *harness.Person, e Exchange) {
	t.Helper()
	headers := []string{"Accept", "application/json"}
	if e.Key != "" {
		headers = append(headers, "Idempotency-Key", e.Key)
	}
	var body any
	if len(e.Body) > 0 {
		body = string(e.Body)
	}
	got, err := by.Do(e.Method, e.Path, body, headers...)
	if err != nil {
		t.Fatal(err)
	}
	replayed := got.Header.Get("Idempotent-Replayed") == "true"
	if got.Status != e.Status || replayed != e.Replayed {
		t.Errorf("%s: %s %s, key %q: %d (replayed %v), and was %d (%v): %s", e.By, e.Method, e.Path, e.Key, got.Status, replayed, e.Status, e.Replayed, got.Body)
		return
	}
	answer := got.Body
	if strings.Contains(e.Path, "?q=") || strings.Contains(e.Path, "&q=") {
		e.Answer, answer = bySKU(t, e.Answer), bySKU(t, answer)
	}
	if d := lacks(e.Answer, answer); len(e.Answer) > 0 && d != "" {
		t.Errorf("%s: %s %s, key %q: %s", e.By, e.Method, e.Path, e.Key, d)
	}
}

// bySKU returns the answer to a search with its products sorted by SKU: what is found stays the
// same, and which of it is more relevant may be judged anew.
func bySKU(t *testing.T, answer json.RawMessage) json.RawMessage {
	t.Helper()
	var list map[string]any
	if err := json.Unmarshal(answer, &list); err != nil {
		t.Fatalf("%v in %s", err, answer)
	}
	found, _ := list["data"].([]any)
	sku := func(p any) string { s, _ := p.(map[string]any)["sku"].(string); return s }
	slices.SortFunc(found, func(a, b any) int { return strings.Compare(sku(a), sku(b)) })
	sorted, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	return sorted
}

// answers reads what was read then.
func (o *opened) answers() {
	for _, e := range o.record.Reads {
		check(o.T, o.people[e.By], e)
	}
}

// replays sends the requests of then again, under their keys.
func (o *opened) replays() {
	nobody := &harness.Person{Shop: o.Shop, Name: "nobody"}
	for _, e := range o.record.Keyed {
		by := o.people[e.By]
		if strings.HasPrefix(e.Path, "/api/auth/") {
			by = nobody
		}
		check(o.T, by, e)
	}
}

// deferred waits for the outcomes of the commands that were waiting then.
func (o *opened) deferred() {
	for _, e := range o.record.Deferred {
		harness.Eventually(o.T, func() error {
			var outcome struct{ Status string }
			o.people[e.By].Wants(200, "GET", e.Location, nil, &outcome)
			if outcome.Status != e.Outcome {
				return fmt.Errorf("%s %s: the outcome is %q, not %q", e.Method, e.Path, outcome.Status, e.Outcome)
			}
			return nil
		})
		if e.Key != "" && e.Outcome == "done" {
			again := e
			again.Status, again.Answer, again.Replayed = 201, nil, true
			if strings.HasSuffix(e.Path, "/adjustments") {
				again.Status = 200
			}
			check(o.T, o.people[e.By], again)
		}
	}
}

// timers waits for those of then, which are due by now unless it is in a hundred years.
func (o *opened) timers() {
	held := o.record.Orders["timer"]
	if len(held) == 0 {
		o.T.Fatal("no order waits for a timer")
	}
	for _, h := range held {
		o.people[h.By].Sees(orderID(h), func(v query.OrderView) bool {
			return v.Status == query.Cancelled && v.Payment.Status == query.PaymentVoided
		})
	}
}

// sessions uses the refresh tokens of then.
func (o *opened) sessions() {
	for _, a := range o.record.Accounts {
		for _, token := range a.Ended {
			p := &harness.Person{Shop: o.Shop, Name: a.Name}
			p.Wants(401, "POST", "/api/auth/refresh", map[string]string{"refresh_token": token}, nil)
		}
		p := &harness.Person{Shop: o.Shop, Name: a.Name, Refresh: a.Refresh}
		got := p.Refreshes()
		if string(got.User.ID) != a.ID || !slices.Equal(got.User.Roles, a.Roles) {
			o.T.Errorf("%s is %s with the roles %v, and was %s with %v", a.Name, got.User.ID, got.User.Roles, a.ID, a.Roles)
		}
		p.Wants(200, "GET", "/api/auth/verify", nil, nil)
		p.LogsOut()
	}
}

// addresses registers those of then, in any spelling, and one that is free.
func (o *opened) addresses() {
	nobody := &harness.Person{Shop: o.Shop, Name: "nobody"}
	for _, a := range o.record.Accounts {
		for i, email := range append([]string{a.Email}, a.Spellings...) {
			account := map[string]string{"name": "Somebody else", "email": email, "password": "another password"}
			nobody.Wants(409, "POST", "/api/auth/register", account, nil)
			nobody.Wants(409, "POST", "/api/auth/register", account, nil, "Idempotency-Key", fmt.Sprint("new ", a.Name, i))
			o.LogIn(email, a.Password)
		}
	}
	o.As("somebody.new").Wants(200, "GET", "/api/auth/verify", nil, nil)
}
