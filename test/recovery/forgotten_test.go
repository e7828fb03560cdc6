package recovery

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/events/query"
	"lonja/kit/bus"
	"lonja/shop"
	"lonja/test/harness"
)

// What is searched for: all that identifies one person. The SKU is of an order that waits for a
// service and is rejected: nobody sells it.
const (
	herName    = "Zdeňka Qvortrup"
	herAddress = "zdenka.qvortrup@example.com"
	herNext    = "qvortrup.zdenka@example.org"
	herSKU     = "zdenkas-own-sku"
	herPass    = "correct horse of hers"
)

// forgetful is a shop on a NATS server of its own, with two replicas of each service, and one
// customer who is to be forgotten.
type forgetful struct {
	*harness.Shop
	servers *harness.Servers
	data    string // of the views; the server's is beside its configuration
	running map[string]*harness.Process
	her     *harness.Person
	id      string
}

func openForgetful(t *testing.T) *forgetful {
	t.Helper()
	f := &forgetful{servers: harness.StartServers(t, []string{"nats"}), data: t.TempDir(), running: map[string]*harness.Process{}}
	s, processes := f.servers.OpenShop(f.data, "a", "b")
	f.Shop = s
	for i, name := range shop.Names() {
		f.running[name+" a"], f.running[name+" b"] = processes[2*i], processes[2*i+1]
	}
	s.Boss().Sells("71053", 339, 10)
	f.her = &harness.Person{Shop: s, Name: "she"}
	var tokens query.Tokens
	f.her.Wants(201, "POST", "/api/auth/register", registration(), &tokens, "Idempotency-Key", "hers-1")
	f.her.Token, f.her.Refresh, f.id = tokens.AccessToken, tokens.RefreshToken, string(tokens.User.ID)
	return f
}

func registration() map[string]string {
	return map[string]string{"name": herName, "email": herAddress, "password": herPass}
}

// stop stops a replica, such as "orders a".
func (f *forgetful) stop(replica string) { f.running[replica].Stop() }

func (f *forgetful) start(replica string) {
	f.T.Helper()
	name, letter, _ := strings.Cut(replica, " ")
	args := append(harness.ServicesOn(f.data, name), "--replica", letter, "--sandbox")
	f.running[replica] = harness.Start(f.T, append(args, f.servers.As(name)...)...)
}

// leavesTraces lets her do what leaves something of her in as many places as there are.
func (f *forgetful) leavesTraces() (paid query.OrderView) {
	f.T.Helper()
	paid = f.her.Pays(f.her.Places(harness.Pieces("71053", 2)))
	f.LogIn(herAddress, herPass)
	f.her.Wants(200, "PATCH", "/api/users/me", map[string]string{"name": herName + " II"}, nil)
	f.her.Wants(200, "PATCH", "/api/users/me", map[string]string{"name": herName}, nil, "Idempotency-Key", "hers-2")
	f.her.Wants(200, "PUT", "/api/users/me/email", map[string]string{"email": herNext, "password": herPass}, nil, "Idempotency-Key", "hers-3")

	f.stop("orders a")
	f.stop("orders b")
	later := f.her.Wants(202, "POST", "/api/orders", harness.Order(herSKU, 1), nil, "Idempotency-Key", "hers-4")
	f.start("orders a")
	f.start("orders b")
	harness.Within(f.T, 30*time.Second, func() error {
		var outcome bus.Outcome
		if f.her.Wants(200, "GET", later.Header.Get("Location"), nil, &outcome); outcome.Status != bus.OutcomeRejected {
			return fmt.Errorf("the deferred order is %s", outcome.Status)
		}
		return nil
	})
	f.addDeadLetter()
	return paid
}

// addDeadLetter adds a dead letter of her registration, as a version left it that did not seal
// events.
func (f *forgetful) addDeadLetter() {
	f.T.Helper()
	js, err := jetstream.New(f.servers.Connect(shop.Operator))
	if err != nil {
		f.T.Fatal(err)
	}
	kept, err := bus.NewDeadLetterQueue(js).Add(f.T.Context(), bus.DeadLetter{Consumer: "identity-on-identity", Stream: "IDENTITY", Sequence: 4_000,
		Subject: "events.user." + f.id + ".registered", Reason: "cannot read " + herAddress, Data: `{"name":"` + herName + `","email":"` + herAddress + `"}`})
	if err != nil || !kept {
		f.T.Fatal(kept, err)
	}
}

// folders are all in which the shop keeps something: the server's, and the views'.
func (f *forgetful) folders() []string {
	return []string{filepath.Join(filepath.Dir(f.servers.Dir), "nats"), f.data}
}

// traces returns the files in which something of her is found, and what.
func (f *forgetful) traces() (found []string) {
	f.T.Helper()
	for _, root := range f.folders() {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				var data []byte
				data, err = os.ReadFile(path)
				for form := range forms() {
					if bytes.Contains(data, []byte(form)) {
						found = append(found, strings.TrimPrefix(path, filepath.Dir(root))+" has "+form)
					}
				}
			}
			if errors.Is(err, fs.ErrNotExist) {
				return nil // it was removed meanwhile
			}
			return err
		})
		if err != nil {
			f.T.Fatal(err)
		}
	}
	return found
}

// forms are the ways in which what identifies her may be written: as it is, in lower case, as
// JSON escapes it, and in base64 at each of the three offsets.
func forms() map[string]bool {
	all := map[string]bool{}
	for _, text := range []string{herName, herAddress, herNext, herSKU} {
		for _, as := range []string{text, strings.ToLower(text), strings.Trim(strconv.QuoteToASCII(text), `"`)} {
			all[as] = true
			for offset := range 3 {
				// The first and the last characters depend on what is beside the text.
				code := base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat(" ", offset) + as))
				all[code[4:len(code)-4]] = true
			}
		}
	}
	return all
}

// wantsNoTrace waits until nothing of her is found, but in files whose path contains but.
func (f *forgetful) wantsNoTrace(within time.Duration, but string) {
	f.T.Helper()
	harness.Within(f.T, within, func() error {
		left := slices.DeleteFunc(f.traces(), func(trace string) bool { return but != "" && strings.Contains(trace, but) })
		if len(left) > 0 {
			return fmt.Errorf("she is still in\n%s", strings.Join(left, "\n"))
		}
		return nil
	})
}

// TestErasure_LeavesNoTraceOnTheDisk erases a person who left something in every kind of
// place, while one of identity's replicas is away, and searches all files of the shop.
func TestErasure_LeavesNoTraceOnTheDisk(t *testing.T) {
	f := openForgetful(t)
	order := f.leavesTraces()
	for _, place := range []string{"identity", "nats"} { // the search finds what there is
		if !slices.ContainsFunc(f.traces(), func(trace string) bool { return strings.Contains(trace, place) }) {
			t.Fatalf("nothing of her is in %s; found %q", place, f.traces())
		}
	}
	if sealed := slices.DeleteFunc(f.traces(), func(trace string) bool { return !strings.Contains(trace, "/IDENTITY/") }); len(sealed) > 0 {
		t.Errorf("events are not sealed: %q", sealed)
	}
	away := filepath.Join("identity", "b")
	f.stop("identity b")

	erased := time.Now()
	f.her.Wants(204, "DELETE", "/api/users/me", map[string]string{"password": herPass}, nil, "Idempotency-Key", "hers-5")
	f.wantsNoTrace(time.Minute, away)
	t.Logf("forgotten after %v", time.Since(erased).Round(time.Millisecond))
	if len(f.traces()) == 0 {
		t.Error("the replica that was away has forgotten her already")
	}
	back := time.Now()
	f.start("identity b")
	f.wantsNoTrace(time.Minute, "")
	t.Logf("the replica that was away has forgotten her after %v", time.Since(back).Round(time.Millisecond))

	f.replaysShowNothing()
	f.Boss().Sees(order.ID, func(o query.OrderView) bool { return o.Status == query.Paid && o.Total == order.Total })
	f.servers.Audit(f.data)
	for replica, p := range f.running {
		for form := range forms() {
			if strings.Contains(p.Stderr(), form) {
				t.Errorf("%s logged %s", replica, form)
			}
		}
	}
}

// replaysShowNothing sends her requests again, with the same keys.
func (f *forgetful) replaysShowNothing() {
	f.T.Helper()
	anybody := &harness.Person{Shop: f.Shop, Name: "anybody"}
	for _, c := range []struct {
		by           *harness.Person
		method, path string
		body         any
		key          string
		statuses     []int
	}{
		{anybody, "POST", "/api/auth/register", registration(), "hers-1", []int{http.StatusNotFound, http.StatusConflict}},
		{f.her, "PATCH", "/api/users/me", map[string]string{"name": herName}, "hers-2", []int{http.StatusUnauthorized}},
		{f.her, "PUT", "/api/users/me/email", map[string]string{"email": herNext, "password": herPass}, "hers-3", []int{http.StatusUnauthorized}},
		{f.her, "POST", "/api/orders", harness.Order(herSKU, 1), "hers-4", []int{http.StatusUnauthorized}},
		{f.her, "DELETE", "/api/users/me", map[string]string{"password": herPass}, "hers-5", []int{http.StatusUnauthorized}},
		{f.Boss(), "GET", "/api/users/" + f.id, nil, "", []int{http.StatusNotFound}},
	} {
		headers := []string{"Idempotency-Key", c.key}
		if c.key == "" {
			headers = nil
		}
		a, err := c.by.Do(c.method, c.path, c.body, headers...)
		if err != nil {
			f.T.Fatal(err)
		}
		if !slices.Contains(c.statuses, a.Status) || bytes.Contains(a.Body, []byte("qvortrup")) || bytes.Contains(a.Body, []byte("Qvortrup")) {
			f.T.Errorf("%s %s again: %d %s", c.method, c.path, a.Status, a.Body)
		}
	}
}
