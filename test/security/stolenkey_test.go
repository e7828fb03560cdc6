package security

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"lonja"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"lonja/events"
	cmds "lonja/events/command"
	"lonja/events/query"
	"lonja/kit/bus"
	"lonja/kit/eventlog"
	"lonja/kit/kittest/servicetest"
	"lonja/kit/natsauth"
	"lonja/kit/service"
	"lonja/shop"
	"lonja/shop/codec"
	"lonja/test/harness"
)

// stolenKeyFixture is a shop on a server that enforces each identity's permissions,
// with the metrics of its services.
type stolenKeyFixture struct {
	*harness.Servers
	t          *testing.T
	identities []natsauth.Identity
	registry   *prometheus.Registry
	gateway    *bus.Client
	admin      eventlog.Actor // a real administrator, whom the attacker claims to be
	attempts   map[string]int // number so far, by endpoint
}

func startStolenKeyFixture(t *testing.T) *stolenKeyFixture {
	config := harness.Streams(t)
	f := &stolenKeyFixture{Servers: harness.StartServers(t, []string{"nats"}), t: t, identities: shop.Identities(harness.Config, config), registry: prometheus.NewRegistry(), attempts: map[string]int{}}
	harness.Run(t, append([]string{"streams", "apply"}, f.As(shop.Operator)...)...)
	keks := servicetest.MakeKEKs(t)
	for name, newService := range shop.Services(harness.Config) {
		ctx, cancel := context.WithCancel(context.Background())
		ready, ended, conn, dir := make(chan struct{}), make(chan error, 1), f.Connect(name), t.TempDir()
		go func() {
			ended <- newService().Run(ctx, service.Config{Application: lonja.Name, Conn: conn, Codec: codec.Events, Streams: config, Dir: dir,
				Logger: slog.New(slog.DiscardHandler), Metrics: f.registry, KEKs: keks}, func() { close(ready) })
		}()
		t.Cleanup(func() { cancel(); <-ended })
		select {
		case <-ready:
		case err := <-ended:
			t.Fatalf("%s: %v", name, err)
		}
	}
	f.gateway = bus.NewClient(f.Connect("gateway"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	session, err := f.gateway.Send(ctx, cmds.LogIn{Email: harness.AdminEmail, Password: harness.AdminPassword}, eventlog.Envelope{})
	var tokens query.Tokens
	if err = errors.Join(err, json.Unmarshal(session.Body, &tokens)); err != nil {
		t.Fatal(err)
	}
	f.admin = eventlog.Actor{ID: string(tokens.User.ID), Roles: tokens.User.Roles}
	return f
}

// endpoints returns every subject on which a service receives requests.
func (f *stolenKeyFixture) endpoints() (all []string) {
	for _, identity := range f.identities {
		for _, subject := range identity.Permissions.Subscribe {
			if kind, _, _ := strings.Cut(subject, "."); slices.Contains([]string{"commands", "queries", "health", "rebuild"}, kind) {
				all = append(all, subject)
			}
		}
	}
	return all
}

// count returns the sum of a metric for one value of a label.
func (f *stolenKeyFixture) count(metric, label, value string) (n int) {
	f.t.Helper()
	families, err := f.registry.Gather()
	if err != nil {
		f.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != metric {
			continue
		}
		for _, m := range family.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == label && l.GetValue() == value {
					n += int(m.GetCounter().GetValue()) + int(m.GetHistogram().GetSampleCount())
				}
			}
		}
	}
	return n
}

// recordForgery records a command in an administrator's name on a stream that the
// attacker may write to. The stream is "" when there is none.
func (f *stolenKeyFixture) recordForgery(attacker natsauth.Identity, conn *nats.Conn, body any) (stream string) {
	f.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, subject := range attacker.Permissions.Publish {
		if !strings.HasPrefix(subject, "events.") {
			continue
		}
		id := eventlog.NewID()
		ack, err := conn.RequestMsg(&nats.Msg{Subject: instance(subject), Data: data, Header: eventlog.Envelope{
			ID: id, Actor: f.admin}.Header()}, 10*time.Second)
		var stored struct{ Stream string }
		if err == nil {
			err = json.Unmarshal(ack.Data, &stored)
		}
		if err != nil || stored.Stream == "" {
			f.t.Fatalf("%s cannot publish on %s: %v", attacker.Name, subject, err)
		}
		return stored.Stream
	}
	return ""
}

// mayPublish reports whether an identity may publish on a subject.
func mayPublish(identity natsauth.Identity, subject string) bool {
	return covered(identity.Permissions.Publish, subject) && !covered(identity.Permissions.DenyPublish, subject)
}

// deliverTo makes the server deliver a stream's last message to a subject, once by
// a push consumer and once by a pull request.
func (f *stolenKeyFixture) deliverTo(conn *nats.Conn, stream, name, to string) {
	f.t.Helper()
	config := map[string]any{"name": name, "deliver_subject": to, "deliver_policy": "last", "ack_policy": "none"}
	if kind, rest, _ := strings.Cut(to, "."); kind == "commands" || kind == "queries" {
		config["deliver_group"], _, _ = strings.Cut(rest, ".") // to one of the service's replicas, as requests are
	}
	f.createConsumer(conn, stream, name, config)
	f.createConsumer(conn, stream, name+"-pull", map[string]any{"name": name + "-pull", "deliver_policy": "last", "ack_policy": "none"})
	if err := conn.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+stream+"."+name+"-pull", to, []byte(`{"batch":1}`)); err != nil {
		f.t.Fatal(err)
	}
}

// createConsumer creates a consumer.
func (f *stolenKeyFixture) createConsumer(conn *nats.Conn, stream, name string, config map[string]any) {
	f.t.Helper()
	asked, _ := json.Marshal(map[string]any{"stream_name": stream, "config": config})
	reply, err := conn.Request("$JS.API.CONSUMER.CREATE."+stream+"."+name, asked, 10*time.Second)
	if err != nil || strings.Contains(string(reply.Data), `"error"`) {
		f.t.Fatalf("no consumer %s on %s: %v", name, stream, err)
	}
}

// attack makes the server publish on an endpoint in every way that the attacker has.
func (f *stolenKeyFixture) attack(attacker natsauth.Identity, conn *nats.Conn, stream, endpoint string) {
	f.t.Helper()
	name := "spy-" + strings.ReplaceAll(endpoint, ".", "-")
	ways := 0
	if stream != "" && mayPublish(attacker, "$JS.API.CONSUMER.CREATE."+stream+"."+name) {
		f.deliverTo(conn, stream, name, endpoint)
		ways += 2
	}
	request := func(subject, body string) {
		if !mayPublish(attacker, subject) {
			return
		}
		if err := conn.PublishRequest(subject, endpoint, []byte(body)); err != nil {
			f.t.Fatal(err)
		}
		ways++
	}
	for _, s := range []string{"CATALOG", "INVENTORY", "ORDERS", "PAYMENTS", "RECEIPTS", "IDENTITY", "DEFERRED"} {
		request("$JS.API.DIRECT.GET."+s, `{"seq":1}`)
		request("$JS.API.STREAM.INFO."+s, "")
	}
	request("$SRV.PING", "")
	if ways == 0 {
		f.t.Errorf("%s has no way to %s", attacker.Name, endpoint)
	}
	f.attempts[endpoint] += ways
}

// Each identity makes the server and the services publish on every endpoint that it
// may not publish on itself. None of these messages is handled.
func TestStolenKey_CannotActAsAnotherIdentity(t *testing.T) {
	f := startStolenKeyFixture(t)
	endpoints := f.endpoints()
	if len(endpoints) < 30 {
		t.Fatalf("only %d endpoints", len(endpoints))
	}
	queries, commands := map[string]int{}, map[string]int{}
	for _, endpoint := range endpoints {
		kind, name, _ := strings.Cut(endpoint, ".")
		switch kind {
		case "commands":
			commands[name] = f.count("lonja_command_seconds", "command", name)
		case "queries":
			queries[name] = f.count("lonja_query_seconds", "query", name)
		}
	}
	for _, attacker := range f.identities {
		if attacker.Name == shop.Operator || attacker.Name == "gateway" {
			continue // they may send any request
		}
		conn := f.Connect(attacker.Name)
		stream := f.recordForgery(attacker, conn, map[string]any{})
		if stream == "" && attacker.Name != "observer" {
			t.Errorf("%s cannot publish on any stream", attacker.Name)
		}
		for _, endpoint := range endpoints {
			f.attack(attacker, conn, stream, endpoint)
		}
	}
	for _, endpoint := range endpoints {
		harness.Within(t, time.Minute, func() error {
			if got := f.count("lonja_foreign_messages_total", "endpoint", endpoint); got < f.attempts[endpoint] {
				return fmt.Errorf("%s rejected %d of %d", endpoint, got, f.attempts[endpoint])
			}
			return nil
		})
	}
	for name, before := range commands {
		if n := f.count("lonja_command_seconds", "command", name); n != before {
			t.Errorf("command %s was handled %d times", name, n-before)
		}
	}
	for name, before := range queries {
		if n := f.count("lonja_query_seconds", "query", name); n != before {
			t.Errorf("query %s was answered %d times", name, n-before)
		}
	}
}

// The same attack with a command that would succeed if an administrator sent it.
func TestStolenKey_OfCatalogCannotGrantRoles(t *testing.T) {
	f := startStolenKeyFixture(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	reply, err := f.gateway.Send(ctx, cmds.RegisterUser{Name: "Eve", Email: "eve@example.com", Password: "password of eve"}, eventlog.Envelope{})
	if err != nil {
		t.Fatal(err)
	}
	attacker := f.identities[slices.IndexFunc(f.identities, func(i natsauth.Identity) bool { return i.Name == "catalog" })]
	conn := f.Connect(attacker.Name)
	stream := f.recordForgery(attacker, conn, cmds.SetRoles{UserID: events.UserID(reply.EntityID), Roles: []string{events.Admin}})
	const endpoint = "commands.identity.set_roles"
	f.deliverTo(conn, stream, "spy", endpoint)
	last, err := json.Marshal(map[string]any{"last_by_subj": "events.product.x.x"})
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.PublishRequest("$JS.API.DIRECT.GET."+stream, endpoint, last); err != nil {
		t.Fatal(err)
	}
	harness.Within(t, time.Minute, func() error {
		if n := f.count("lonja_foreign_messages_total", "endpoint", endpoint) + f.count("lonja_command_seconds", "command", "identity.set_roles"); n < 3 {
			return fmt.Errorf("%d of 3 have come", n)
		}
		return nil
	})
	body, err := f.gateway.Query(ctx, query.Users{}, eventlog.Envelope{Actor: f.admin, After: reply.Position})
	var users query.List[query.UserView]
	if err = errors.Join(err, json.Unmarshal(body, &users)); err != nil {
		t.Fatal(err)
	}
	for _, u := range users.Data {
		if u.Email == "eve@example.com" && slices.Contains(u.Roles, events.Admin) {
			t.Error("Eve is an administrator")
		}
	}
	if len(users.Data) < 2 {
		t.Errorf("Eve is not there: %s", body)
	}
}
