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
	"lonja/kit/natsauth"
	"lonja/kit/service"
	"lonja/shop"
	"lonja/shop/codec"
	"lonja/test/harness"
)

// heist is a shop on a server that lets each identity do only what it declares,
// with the metrics of its services.
type heist struct {
	*harness.Servers
	t        *testing.T
	all      []natsauth.Identity
	registry *prometheus.Registry
	gateway  *bus.Client
	boss     eventlog.Actor // a real administrator, in whose name the thief speaks
	tries    map[string]int // at each endpoint so far
}

func startHeist(t *testing.T) *heist {
	config := harness.Streams(t)
	h := &heist{Servers: harness.StartServers(t, []string{"nats"}), t: t, all: shop.Identities(harness.Config, config), registry: prometheus.NewRegistry(), tries: map[string]int{}}
	harness.Run(t, append([]string{"streams", "apply"}, h.As(shop.Operator)...)...)
	for name, fresh := range shop.Services(harness.Config) {
		ctx, cancel := context.WithCancel(context.Background())
		ready, over, conn, dir := make(chan struct{}), make(chan error, 1), h.Connect(name), t.TempDir()
		go func() {
			over <- fresh().Run(ctx, service.Config{Application: lonja.Name, Conn: conn, Codec: codec.Events, Streams: config, Dir: dir,
				Logger: slog.New(slog.DiscardHandler), Metrics: h.registry}, func() { close(ready) })
		}()
		t.Cleanup(func() { cancel(); <-over })
		select {
		case <-ready:
		case err := <-over:
			t.Fatalf("%s: %v", name, err)
		}
	}
	h.gateway = bus.NewClient(h.Connect("gateway"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	session, err := h.gateway.Send(ctx, cmds.LogIn{Email: harness.AdminEmail, Password: harness.AdminPassword}, eventlog.Envelope{})
	var tokens query.Tokens
	if err = errors.Join(err, json.Unmarshal(session.Body, &tokens)); err != nil {
		t.Fatal(err)
	}
	h.boss = eventlog.Actor{ID: string(tokens.User.ID), Roles: tokens.User.Roles}
	return h
}

// endpoints are all subjects on which a service takes requests.
func (h *heist) endpoints() (all []string) {
	for _, identity := range h.all {
		for _, subject := range identity.Permissions.Subscribe {
			if kind, _, _ := strings.Cut(subject, "."); slices.Contains([]string{"commands", "queries", "health", "rebuild"}, kind) {
				all = append(all, subject)
			}
		}
	}
	return all
}

// count is a metric's sum for one value of a label.
func (h *heist) count(metric, label, value string) (n int) {
	h.t.Helper()
	families, err := h.registry.Gather()
	if err != nil {
		h.t.Fatal(err)
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

// plants records a message that says an administrator sends a command, on a
// stream that an identity may write to. The stream is "" when there is none.
func (h *heist) plants(thief natsauth.Identity, conn *nats.Conn, body any) (stream string) {
	h.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, subject := range thief.Permissions.Publish {
		if !strings.HasPrefix(subject, "events.") {
			continue
		}
		id := eventlog.NewID()
		ack, err := conn.RequestMsg(&nats.Msg{Subject: instance(subject), Data: data, Header: eventlog.Envelope{
			ID: id, Actor: h.boss}.Header()}, 10*time.Second)
		var stored struct{ Stream string }
		if err == nil {
			err = json.Unmarshal(ack.Data, &stored)
		}
		if err != nil || stored.Stream == "" {
			h.t.Fatalf("%s cannot record on %s: %v", thief.Name, subject, err)
		}
		return stored.Stream
	}
	return ""
}

// has reports whether an identity may publish on a subject.
func has(identity natsauth.Identity, subject string) bool {
	return covered(identity.Permissions.Publish, subject) && !covered(identity.Permissions.DenyPublish, subject)
}

// delivers has the server push a stream's last message to a subject, or hand it
// out there when it is asked for.
func (h *heist) delivers(conn *nats.Conn, stream, name, to string) {
	h.t.Helper()
	config := map[string]any{"name": name, "deliver_subject": to, "deliver_policy": "last", "ack_policy": "none"}
	if kind, rest, _ := strings.Cut(to, "."); kind == "commands" || kind == "queries" {
		config["deliver_group"], _, _ = strings.Cut(rest, ".") // to one of the service's replicas, as requests are
	}
	h.makes(conn, stream, name, config)
	h.makes(conn, stream, name+"-pull", map[string]any{"name": name + "-pull", "deliver_policy": "last", "ack_policy": "none"})
	if err := conn.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+stream+"."+name+"-pull", to, []byte(`{"batch":1}`)); err != nil {
		h.t.Fatal(err)
	}
}

// makes makes a consumer.
func (h *heist) makes(conn *nats.Conn, stream, name string, config map[string]any) {
	h.t.Helper()
	asked, _ := json.Marshal(map[string]any{"stream_name": stream, "config": config})
	reply, err := conn.Request("$JS.API.CONSUMER.CREATE."+stream+"."+name, asked, 10*time.Second)
	if err != nil || strings.Contains(string(reply.Data), `"error"`) {
		h.t.Fatalf("no consumer %s on %s: %v", name, stream, err)
	}
}

// attacks tries one endpoint in every way that an identity has.
func (h *heist) attacks(thief natsauth.Identity, conn *nats.Conn, stream, endpoint string) {
	h.t.Helper()
	name := "spy-" + strings.ReplaceAll(endpoint, ".", "-")
	ways := 0
	if stream != "" && has(thief, "$JS.API.CONSUMER.CREATE."+stream+"."+name) {
		h.delivers(conn, stream, name, endpoint)
		ways += 2
	}
	asks := func(subject, body string) {
		if !has(thief, subject) {
			return
		}
		if err := conn.PublishRequest(subject, endpoint, []byte(body)); err != nil {
			h.t.Fatal(err)
		}
		ways++
	}
	for _, s := range []string{"CATALOG", "INVENTORY", "ORDERS", "PAYMENTS", "IDENTITY", "DEFERRED"} {
		asks("$JS.API.DIRECT.GET."+s, `{"seq":1}`)
		asks("$JS.API.STREAM.INFO."+s, "")
	}
	asks("$SRV.PING", "")
	if ways == 0 {
		h.t.Errorf("%s has no way to %s", thief.Name, endpoint)
	}
	h.tries[endpoint] += ways
}

// TestNoStolenKeyIsAnybodyElse has the server, and the services, publish on every
// endpoint for whoever may not, as every identity that could have its key stolen.
// None of it is handled.
func TestNoStolenKeyIsAnybodyElse(t *testing.T) {
	h := startHeist(t)
	endpoints := h.endpoints()
	if len(endpoints) < 30 {
		t.Fatalf("only %d endpoints", len(endpoints))
	}
	queries, commands := map[string]int{}, map[string]int{}
	for _, endpoint := range endpoints {
		kind, name, _ := strings.Cut(endpoint, ".")
		switch kind {
		case "commands":
			commands[name] = h.count("lonja_command_seconds", "command", name)
		case "queries":
			queries[name] = h.count("lonja_query_seconds", "query", name)
		}
	}
	for _, thief := range h.all {
		if thief.Name == shop.Operator || thief.Name == "gateway" {
			continue // they may ask for anything
		}
		conn := h.Connect(thief.Name)
		stream := h.plants(thief, conn, map[string]any{})
		if stream == "" && thief.Name != "observer" {
			t.Errorf("%s records nothing", thief.Name)
		}
		for _, endpoint := range endpoints {
			h.attacks(thief, conn, stream, endpoint)
		}
	}
	for _, endpoint := range endpoints {
		harness.Within(t, time.Minute, func() error {
			if got := h.count("lonja_foreign_messages_total", "endpoint", endpoint); got < h.tries[endpoint] {
				return fmt.Errorf("%s refused %d of %d", endpoint, got, h.tries[endpoint])
			}
			return nil
		})
	}
	for name, before := range commands {
		if n := h.count("lonja_command_seconds", "command", name); n != before {
			t.Errorf("command %s was handled %d times", name, n-before)
		}
	}
	for name, before := range queries {
		if n := h.count("lonja_query_seconds", "query", name); n != before {
			t.Errorf("query %s was answered %d times", name, n-before)
		}
	}
}

// TestACatalogKeyMakesNobodyAdministrator is that attack with a command which
// would be obeyed.
func TestACatalogKeyMakesNobodyAdministrator(t *testing.T) {
	h := startHeist(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	reply, err := h.gateway.Send(ctx, cmds.RegisterUser{Name: "Eve", Email: "eve@example.com", Password: "password of eve"}, eventlog.Envelope{})
	if err != nil {
		t.Fatal(err)
	}
	thief := h.all[slices.IndexFunc(h.all, func(i natsauth.Identity) bool { return i.Name == "catalog" })]
	conn := h.Connect(thief.Name)
	stream := h.plants(thief, conn, cmds.SetRoles{UserID: events.UserID(reply.EntityID), Roles: []string{events.Admin}})
	const endpoint = "commands.identity.set_roles"
	h.delivers(conn, stream, "spy", endpoint)
	last, err := json.Marshal(map[string]any{"last_by_subj": "events.product.x.x"})
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.PublishRequest("$JS.API.DIRECT.GET."+stream, endpoint, last); err != nil {
		t.Fatal(err)
	}
	harness.Within(t, time.Minute, func() error {
		if n := h.count("lonja_foreign_messages_total", "endpoint", endpoint) + h.count("lonja_command_seconds", "command", "identity.set_roles"); n < 3 {
			return fmt.Errorf("%d of 3 have come", n)
		}
		return nil
	})
	body, err := h.gateway.Query(ctx, query.Users{}, eventlog.Envelope{Actor: h.boss, After: reply.Position})
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
