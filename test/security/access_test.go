package security

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"lonja"
	"lonja/kit/natsauth"
	"lonja/kit/streams"
	"lonja/shop"
	"lonja/test/harness"
)

// TestPermissions_AllowEachPartItsOwnWork runs the whole story and the operator's
// commands on a server that enforces each identity's permissions.
func TestPermissions_AllowEachPartItsOwnWork(t *testing.T) {
	d, data := harness.StartServers(t, []string{"nats"}, "--tls"), t.TempDir()
	s, processes := d.OpenShop(data, "a")
	harness.Story(t, s)
	asOperator := func(args ...string) string {
		t.Helper()
		return harness.Run(t, append(args, d.As(shop.Operator)...)...)
	}
	if out := asOperator("rebuild", "orders"); !strings.Contains(out, "done") {
		t.Errorf("rebuild: %s", out)
	}
	if out := asOperator("deadletters", "list"); !strings.Contains(out, "0 of 0") {
		t.Errorf("deadletters: %s", out)
	}
	if out := asOperator("timeline", "71053"); !strings.Contains(out, "product.created") {
		t.Errorf("timeline: %s", out)
	}
	boss := s.Boss()
	overheard := d.Connect(shop.Operator)
	asked, err := overheard.SubscribeSync("queries.>")
	if err != nil {
		t.Fatal(err)
	}
	looked, err := overheard.SubscribeSync("$JS.API.STREAM.INFO.DEADLETTERS")
	if err = errors.Join(err, overheard.Flush()); err != nil {
		t.Fatal(err)
	}
	boss.Wants(200, "GET", "/api/deadletters", nil, nil)
	boss.Wants(200, "GET", "/api/users", nil, nil)
	query, err := asked.NextMsg(time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	look, err := looked.NextMsg(time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if prefix := query.Reply[:len("_INBOX.gateway.")+20]; strings.HasPrefix(look.Reply, prefix) {
		t.Errorf("whoever answers the gateway at %s learns where it hears JetStream, %s", query.Reply, look.Reply)
	}
	d.Audit(data)
	for _, p := range processes {
		p.Stop()
		if said := p.Stderr(); strings.Contains(strings.ToLower(said), "violation") {
			t.Errorf("%v wanted to do what it may not:\n%s", p.Cmd.Args[1:3], said)
		}
	}
	log, err := os.ReadFile(d.LogFile("nats"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(log)) {
		if strings.Contains(line, "Violation") {
			t.Error(strings.TrimSpace(line))
		}
	}
}

// TestPermissions_DenyTheWorkOfOthers tries as each identity everything that only
// the others may do.
func TestPermissions_DenyTheWorkOfOthers(t *testing.T) {
	config := harness.Streams(t)
	d := harness.StartServers(t, []string{"nats"})
	harness.Run(t, append([]string{"streams", "apply"}, d.As(shop.Operator)...)...)
	all := shop.Identities(harness.Config, config)
	for _, me := range all {
		if me.Name == shop.Operator {
			continue
		}
		t.Run(me.Name, func(t *testing.T) {
			denied := 0
			for _, other := range all {
				if other.Name == shop.Operator {
					continue
				}
				for _, subject := range other.Permissions.Sorted().Publish {
					if try := instance(subject); !covered(me.Permissions.Publish, try) || covered(me.Permissions.DenyPublish, try) {
						denied++
						if err := publish(d, me.Name, try); !errors.Is(err, nats.ErrPermissionViolation) {
							t.Errorf("%s may publish %s, which is %s's: %v", me.Name, try, other.Name, err)
						}
					}
				}
				for _, subject := range other.Permissions.Sorted().Subscribe {
					if try := instance(subject); !covered(me.Permissions.Subscribe, try) {
						denied++
						if err := subscribe(d, me.Name, try); !errors.Is(err, nats.ErrPermissionViolation) {
							t.Errorf("%s may subscribe to %s, which is %s's: %v", me.Name, try, other.Name, err)
						}
					}
				}
			}
			if t.Logf("%d subjects denied", denied); denied < 50 {
				t.Errorf("only %d subjects were tried", denied)
			}
		})
	}
}

// The subjects here must be denied, whatever the services declare.
func TestPermissions_NeverAllowForbiddenSubjects(t *testing.T) {
	d := harness.StartServers(t, []string{"nats"})
	harness.Run(t, append([]string{"streams", "apply"}, d.As(shop.Operator)...)...)
	everybody := []string{"observer", "gateway", "catalog", "identity", "inventory", "orders", "payments", "receipts"}
	but := func(who ...string) []string {
		return slices.DeleteFunc(slices.Clone(everybody), func(name string) bool { return slices.Contains(who, name) })
	}
	for _, never := range []struct {
		who      []string
		subjects []string
	}{
		{but("orders"), []string{"events.order.ord_1.placed", "events.order.ord_1.paid", "changes.orders.ord_1"}},
		{but("payments"), []string{"events.payment.pay_1.captured"}},
		{but("inventory"), []string{"events.stock.main.reserved"}},
		{but("catalog"), []string{"events.product.85123A.created"}},
		{but("identity"), []string{"events.user.usr_1.registered", "events.realm.main.key_added", "revocations.usr_1", "keys.usr_1", "$JS.API.STREAM.MSG.GET.KEYS", "$JS.API.STREAM.MSG.DELETE.KEYS", "$JS.API.STREAM.MSG.GET.IDENTITY", "$JS.API.DIRECT.GET.IDENTITY", "$JS.API.CONSUMER.CREATE.IDENTITY.spy"}},
		{but("gateway"), []string{"commands.identity.set_roles", "commands.orders.place", "queries.identity.users", "deferred.orders.place.x", "retries.orders.orders-on-stock.INVENTORY.1"}},
		{but("gateway", "identity"), []string{"$JS.API.STREAM.MSG.DELETE.DEADLETTERS"}}, // one drops them, the other forgets people
		{but("identity"), []string{"$JS.API.STREAM.MSG.DELETE.DEFERRED"}},
		{but("inventory"), []string{"$JS.API.CONSUMER.DELETE.ORDERS.inventory-on-orders", "$JS.API.CONSUMER.CREATE.ORDERS.inventory-on-orders", "$JS.API.CONSUMER.MSG.NEXT.ORDERS.inventory-on-orders", "$JS.ACK.ORDERS.inventory-on-orders.1.1.1.1.0"}},
		{everybody, []string{"commands.identity.reset_password", "commands.identity.rotate_key", "commands.identity.seal", "$JS.API.STREAM.UPDATE.ORDERS", "$JS.API.STREAM.CREATE.MINE", "$JS.API.STREAM.DELETE.ORDERS", "$JS.API.STREAM.PURGE.ORDERS", "$JS.API.STREAM.MSG.DELETE.ORDERS", "$JS.API.STREAM.RESTORE.ORDERS", "$JS.API.STREAM.SNAPSHOT.IDENTITY", "$JS.API.CONSUMER.PAUSE.ORDERS.payments-on-orders", "$JS.API.STREAM.LEADER.STEPDOWN.ORDERS", "timers.due.payments-deadline.x", "$SYS.REQ.SERVER.PING",
			"$JS.API.CONSUMER.CREATE.KEYS.spy", "$JS.API.DIRECT.GET.KEYS", "$JS.API.STREAM.SNAPSHOT.KEYS", "$JS.API.STREAM.DELETE.KEYS"}},
	} {
		for _, who := range never.who {
			for _, subject := range never.subjects {
				if err := publish(d, who, subject); !errors.Is(err, nats.ErrPermissionViolation) {
					t.Errorf("%s may publish %s: %v", who, subject, err)
				}
			}
		}
	}
	for _, never := range []struct {
		who      []string
		subjects []string
	}{
		{but("identity"), []string{"commands.identity.login", "commands.>", "events.user.>", "events.>"}},
		{but("orders"), []string{"commands.orders.place", "queries.orders.order"}},
		{but("gateway"), []string{"_INBOX.gateway.x", "_INBOX.>", "changes.orders.ord_1"}},
		{everybody, []string{"_INBOX.operator.x", ">", "deadletters.>", "keys.>"}},
	} {
		for _, who := range never.who {
			for _, subject := range never.subjects {
				if err := subscribe(d, who, subject); !errors.Is(err, nats.ErrPermissionViolation) {
					t.Errorf("%s may subscribe to %s: %v", who, subject, err)
				}
			}
		}
	}
	for _, subject := range []string{"$JS.API.STREAM.INFO.ORDERS", "$JS.API.STREAM.MSG.GET.ORDERS", "$JS.API.CONSUMER.LIST.ORDERS", "$SRV.PING"} {
		if err := publish(d, "observer", subject); err != nil {
			t.Errorf("the observer cannot read: %v", err)
		}
	}
	if err := subscribe(d, "observer", "events.order.*.paid"); err != nil {
		t.Errorf("the observer cannot watch: %v", err)
	}
	if nc, err := nats.Connect(d.URL()); err == nil {
		nc.Close()
		t.Error("somebody without a key may connect")
	}
}

// publish publishes as an identity and returns the server's error.
func publish(d *harness.Servers, identity, subject string) error {
	nc := d.Connect(identity)
	defer nc.Close()
	return errors.Join(nc.Publish(subject, nil), nc.Flush(), nc.LastError())
}

func subscribe(d *harness.Servers, identity, subject string) error {
	nc := d.Connect(identity)
	defer nc.Close()
	_, err := nc.SubscribeSync(subject)
	return errors.Join(err, nc.Flush(), nc.LastError())
}

// instance returns a subject that matches a filter.
func instance(filter string) string {
	tokens := strings.Split(filter, ".")
	for i, token := range tokens {
		if token == "*" || token == ">" {
			tokens[i] = "x"
		}
	}
	return strings.Join(tokens, ".")
}

func covered(filters []string, subject string) bool {
	return slices.ContainsFunc(filters, func(f string) bool { return streams.Matches(f, subject) })
}

func TestNATSConfig_IsIdempotent(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "conf")
	write := func(flags ...string) map[string]string {
		t.Helper()
		harness.Run(t, append([]string{"nats-config", "--out", dir, "--tls", "--servers", "n1,n2,n3"}, flags...)...)
		files := map[string]string{}
		err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			files[strings.TrimPrefix(path, dir+"/")] = string(data)
			info, _ := e.Info()
			secret := strings.HasSuffix(path, "seed") || strings.HasSuffix(path, "-key.pem") || strings.HasSuffix(path, "password") || strings.HasSuffix(path, "n1.conf")
			if secret && info.Mode().Perm() != 0o600 {
				t.Errorf("%s can be read by others: %v", path, info.Mode())
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	first := write()
	if second := write(); fmt.Sprint(first) != fmt.Sprint(second) {
		t.Error("the second time changed something")
	}
	for name, text := range first {
		if name == "auth.conf" && strings.Contains(text, "SU") && strings.Contains(text, strings.TrimSpace(first["keys/orders/seed"])) {
			t.Error("auth.conf holds a seed")
		}
	}
	users := func(files map[string]string) int { return strings.Count(files["auth.conf"], "nkey: ") }
	rotated := write("--rotate", "orders")
	if users(rotated) != users(first)+1 || rotated["keys/orders/seed"] == first["keys/orders/seed"] {
		t.Error("rotated, there are not two keys of orders")
	}
	if rotated["keys/payments/seed"] != first["keys/payments/seed"] {
		t.Error("the key of payments changed, too")
	}
	if retired := write("--retire", "orders"); users(retired) != users(first) || retired["keys/orders/seed"] != rotated["keys/orders/seed"] {
		t.Error("retired, the key before is still there")
	}
}

// The tests use shop.Identities. The program must write the same permissions for
// the server: writing them again changes nothing.
func TestIdentities_AreThoseOfTheProgram(t *testing.T) {
	dir := t.TempDir()
	harness.Run(t, "nats-config", "--out", dir)
	names := []string{"auth.conf", "nats.conf"}
	var before []string
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		before = append(before, string(data))
	}
	written, err := natsauth.WriteConfig(natsauth.Config{Name: lonja.Name, Account: shop.Account, Dir: dir, Identities: shop.Identities(harness.Config, harness.Streams(t)),
		Servers: []string{"nats"}, Store: "/data", MaxStore: "10GB"})
	if err != nil || len(written.Created) > 0 {
		t.Fatalf("identities that the program does not know: %v (%v)", written.Created, err)
	}
	for i, name := range names {
		after, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if string(after) != before[i] {
			t.Errorf("%s differs: the program wrote\n%s\nthe harness\n%s", name, before[i], after)
		}
	}
}
