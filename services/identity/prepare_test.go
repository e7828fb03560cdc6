package identity

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/service"
	"lonja/shop/shoptest"
)

// announced records the calls of Config.Announce.
type announced struct {
	mu    sync.Mutex
	calls []command.LogIn
}

func (a *announced) announce(email, password string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls = append(a.calls, command.LogIn{Email: email, Password: password})
}

func (a *announced) once(t *testing.T) command.LogIn {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.calls) != 1 {
		t.Fatalf("announced %d times, not once", len(a.calls))
	}
	return a.calls[0]
}

// replica is one replica of identity, run so that a test sees what shoptest
// does not show: that it fails, and what it logs.
type replica struct {
	*identity
	ready chan struct{}
	ended chan error
	stop  context.CancelFunc
	log   *buffer
}

// buffer keeps what is logged.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func start(t *testing.T, shop *shoptest.Shop, name, dir string, config Config) *replica {
	t.Helper()
	return startTended(t, shop, name, dir, config, 20*time.Millisecond)
}

// startTended is start with an interval of the upkeep.
func startTended(t *testing.T, shop *shoptest.Shop, name, dir string, config Config, upkeep time.Duration) *replica {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	r := &replica{identity: build(config), ready: make(chan struct{}), ended: make(chan error, 1), stop: stop, log: &buffer{}}
	nc, svc := shop.Connect(), r.service()
	svc.UpkeepInterval = upkeep
	go func() {
		defer close(r.ended)
		r.ended <- svc.Run(ctx, service.Config{
			Application: "lonja", Conn: nc, Codec: shoptest.Codec, Streams: shop.Streams, Dir: dir, Replica: name, KEKs: shop.KEKs, Clock: config.now,
			Logger: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		}, func() { close(r.ready) })
	}()
	t.Cleanup(func() { stop(); <-r.ended })
	return r
}

func (r *replica) serves(t *testing.T) *replica {
	t.Helper()
	select {
	case <-r.ready:
	case err := <-r.ended:
		t.Fatalf("identity did not start: %v", err)
	}
	return r
}

func (r *replica) stopped(t *testing.T) {
	t.Helper()
	r.stop()
	if err := <-r.ended; err != nil {
		t.Fatal(err)
	}
}

// keyset is what this very replica answers.
func (r *replica) keyset(t *testing.T) (keys query.Keyset) {
	t.Helper()
	answer, err := r.listKeys(t.Context(), query.Keys{}, eventlog.Actor{})
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, &keys); err != nil {
		t.Fatal(err)
	}
	return keys
}

// meeting makes the first n who come wait for each other.
func meeting(n int32) func() {
	var came atomic.Int32
	all := make(chan struct{})
	return func() {
		switch nth := came.Add(1); {
		case nth == n:
			close(all)
		case nth < n:
			<-all
		}
	}
}

func TestPrepare_TwoReplicasAtOnce(t *testing.T) {
	shop := shoptest.Start(t)
	// Neither registers the administrator before both have a password for them.
	var admins announced
	meet := meeting(2)
	config := Config{Announce: admins.announce, derive: func(p, salt []byte, time, memory uint32, threads uint8, n uint32) []byte {
		meet()
		return quick(p, salt, time, memory, threads, n)
	}}
	a, b := start(t, shop, "a", t.TempDir(), config), start(t, shop, "b", t.TempDir(), config)
	a.serves(t)
	b.serves(t)
	if msgs := recorded(t, shop); len(msgs) != 4 {
		t.Fatalf("%d events: want an issuer, its key, an appointment and an account", len(msgs))
	}

	// Only the password that was recorded was announced. Whichever replica logs
	// the administrator in, each verifies the token, and what the other signs.
	var tokens query.Tokens
	shop.Do(admins.once(t), eventlog.Actor{}, &tokens)
	for _, from := range []*replica{a, b} {
		signed, err := from.issuer.tokens(user{UserView: tokens.User}, given(sessionType, started))
		if err != nil {
			t.Fatal(err)
		}
		for _, by := range []*replica{a, b} {
			mustVerify(t, by.keyset(t), tokens)
			if c, err := verify(t, by.keyset(t), signed.AccessToken); c.Subject != string(tokens.User.ID) {
				t.Fatalf("%+v: %v", c, err)
			}
		}
	}
	a.stopped(t)
	shop.Do(command.RefreshSession{RefreshToken: tokens.RefreshToken}, eventlog.Actor{}, &tokens)
	b.stopped(t)
}

func TestPrepare_RestartKeepsTokensAndAdministrator(t *testing.T) {
	shop, dir := shoptest.Start(t), t.TempDir()
	var admins announced
	before := start(t, shop, "a", dir, Config{Announce: admins.announce, derive: quick}).serves(t)
	admin := admins.once(t)
	if admin.Email != "admin@lonja.local" || len(admin.Password) < 20 {
		t.Fatalf("announced %q with a password of %d letters", admin.Email, len(admin.Password))
	}
	var tokens query.Tokens
	shop.Do(admin, eventlog.Actor{}, &tokens)
	before.stopped(t)

	// Another name and password for the administrator come too late.
	late := Config{AdminEmail: "late@example.com", AdminPassword: password, Announce: admins.announce, derive: quick}
	after := start(t, shop, "a", dir, late).serves(t)
	if c, err := verify(t, after.keyset(t), tokens.AccessToken); err != nil || c.Subject != string(tokens.User.ID) {
		t.Fatalf("an old access token: %+v, %v", c, err)
	}
	shop.Do(command.RefreshSession{RefreshToken: tokens.RefreshToken}, eventlog.Actor{}, &tokens)
	shop.Do(admin, eventlog.Actor{}, nil)
	shop.Fails(command.LogIn{Email: late.AdminEmail, Password: password}, eventlog.Actor{}, errs.Unauthenticated)
	shop.Fails(command.LogIn{Email: admin.Email, Password: password}, eventlog.Actor{}, errs.Unauthenticated)
	after.stopped(t)

	// A start without a configured password announces nothing, either.
	start(t, shop, "a", dir, Config{Announce: admins.announce, derive: quick}).serves(t)
	admins.once(t)
}

func TestPrepare_InterruptedAppointmentIsRepeated(t *testing.T) {
	for name, email := range map[string]string{"of the same": "", "of another": "another@example.com"} {
		t.Run(name, func(t *testing.T) {
			shop, dir := shoptest.Start(t), t.TempDir()
			var admins announced
			var first *replica
			known := make(chan struct{})
			first = start(t, shop, "a", dir, Config{Announce: admins.announce, derive: func(p, salt []byte, _, _ uint32, _ uint8, _ uint32) []byte {
				<-known
				first.stop() // appointed, and about to be registered
				return quick(p, salt, 0, 0, 0, 0)
			}})
			close(known)
			if err := <-first.ended; err == nil {
				t.Fatal("the first start was not cut short")
			}
			if msgs := recorded(t, shop); len(msgs) != 3 {
				t.Fatalf("%d events: want an issuer, its key and an appointment", len(msgs))
			}

			start(t, shop, "a", dir, Config{AdminEmail: email, Announce: admins.announce, derive: quick}).serves(t)
			var tokens query.Tokens
			shop.Do(admins.once(t), eventlog.Actor{}, &tokens)
			if got := fmt.Sprint(tokens.User.Roles); got != "[admin customer staff]" {
				t.Fatalf("roles %s", got)
			}
			last := shoptest.Await(shop, func(e events.RealmAdminAppointed) bool { return e.UserID == tokens.User.ID })
			if last.UserID != tokens.User.ID {
				t.Fatalf("appointed %s", last.UserID)
			}
		})
	}
}

// The first administrator is appointed, and the program ends. At the next start they have an
// address that is somebody's.
func TestPrepare_AddressOfSomebodyElseFailsTheStart(t *testing.T) {
	shop, dir := shoptest.Start(t), t.TempDir()
	first := start(t, shop, "a", dir, Config{AdminPassword: password, derive: quick}).serves(t)
	for name, c := range map[string]command.RegisterUser{
		"young": {Name: "Ana", Email: "ana@example.com", Password: password},
		"old":   {Name: "Eva", Email: "eva@example.com", Password: password},
	} {
		if name == "old" {
			oldAccount(t, shop, first.identity, c)
		} else {
			shop.Do(c, eventlog.Actor{}, nil)
		}
		// Nobody has registered whom the issuer names as the administrator.
		shop.Record("IDENTITY", events.RealmAdminAppointed{UserID: "usr_nobody"})
		r := start(t, shop, "b", t.TempDir(), Config{AdminEmail: strings.ToUpper(c.Email), AdminPassword: "another horse", derive: quick})
		if err := <-r.ended; !errs.Is(err, errs.Conflict) || !strings.Contains(err.Error(), "configure another") {
			t.Fatalf("%s: %v", name, err)
		}
		var tokens query.Tokens
		shop.Do(command.LogIn{Email: c.Email, Password: password}, eventlog.Actor{}, &tokens)
		if fmt.Sprint(tokens.User.Roles) != "[customer]" {
			t.Errorf("%s has the roles %v", name, tokens.User.Roles)
		}
	}
}

// The first administrator was erased by another one. No start creates them again.
func TestPrepare_ErasedAdministratorIsNotReplaced(t *testing.T) {
	shop, dir := shoptest.Start(t), t.TempDir()
	first := start(t, shop, "a", dir, Config{AdminPassword: password, derive: quick}).serves(t)
	var ana query.UserView
	var admin query.Tokens
	shop.Do(command.RegisterUser{Name: "Ana", Email: "ana@example.com", Password: password}, eventlog.Actor{}, &ana)
	shop.Do(command.LogIn{Email: "admin@lonja.local", Password: password}, eventlog.Actor{}, &admin)
	shop.Do(command.SetRoles{UserID: ana.ID, Roles: []string{events.Admin}}, actor(admin), nil)
	shop.Do(command.EraseUser{UserID: admin.User.ID}, eventlog.Actor{ID: string(ana.ID), TokenPosition: math.MaxInt64}, nil)
	first.stopped(t)
	start(t, shop, "a", dir, Config{AdminPassword: password, derive: quick}).serves(t)
	shop.Fails(command.LogIn{Email: "admin@lonja.local", Password: password}, eventlog.Actor{}, errs.Unauthenticated)
	_, err := shop.Send(t.Context(), command.ResetPassword{Password: password}, eventlog.Envelope{})
	if !errs.Is(err, errs.NotFound) || !strings.Contains(err.Error(), "--email") {
		t.Errorf("a new password for the first administrator: %v", err)
	}
	shop.Do(command.ResetPassword{Email: "ana@example.com", Password: password}, eventlog.Actor{}, nil)
}

func TestPrepare_InvalidAdminPasswordFailsTheStart(t *testing.T) {
	shop := shoptest.Start(t)
	r := start(t, shop, "a", t.TempDir(), Config{AdminPassword: "short"})
	err := <-r.ended
	if err == nil || !strings.Contains(err.Error(), "password must have at least 8") || strings.Contains(err.Error(), "short") {
		t.Fatalf("got %v", err)
	}
	defer func() {
		if recover() == nil {
			t.Fatal("a random password would be announced to nobody")
		}
	}()
	New(Config{})
}

func TestSecrets_StayOnTheStream(t *testing.T) {
	shop, dir := shoptest.Start(t), t.TempDir()
	r := start(t, shop, "a", dir, Config{AdminPassword: "the administrator's own", derive: quick}).serves(t)
	cmd := command.RegisterUser{Name: "Anastasia", Email: "anastasia@example.com", Password: password}
	var tokens, next query.Tokens
	shop.Do(cmd, eventlog.Actor{}, nil)
	shop.Fails(cmd, eventlog.Actor{}, errs.Conflict)
	shop.Fails(command.LogIn{Email: cmd.Email, Password: "wrong horse"}, eventlog.Actor{}, errs.Unauthenticated)
	at := shop.Do(command.LogIn{Email: cmd.Email, Password: password}, eventlog.Actor{}, &tokens)
	shop.Do(command.RefreshSession{RefreshToken: tokens.RefreshToken}, eventlog.Actor{}, &next)
	var seen query.UserView
	shop.Get(query.User{UserID: tokens.User.ID}, actor(tokens), at.Position, &seen)
	shop.Do(command.LogOut{RefreshToken: next.RefreshToken}, eventlog.Actor{}, nil)
	r.stopped(t)

	secrets := []string{password, "wrong horse", "the administrator's own", tokens.RefreshToken, next.RefreshToken, tokens.AccessToken, "$argon2id$"}
	for _, raw := range [][]byte{r.issuer.secret, r.issuer.keys[0].private.Seed()} {
		secrets = append(secrets, string(raw), base64.StdEncoding.EncodeToString(raw))
	}
	personal := []string{"Anastasia", "anastasia"}

	rows := filesIn(t, dir)
	hides(t, "the view", rows, secrets)
	if !strings.Contains(rows, cmd.Email) {
		t.Fatal("the view's files were not looked at")
	}
	hides(t, "the log output", r.log.text.String(), append(secrets, personal...))
	if !strings.Contains(r.log.text.String(), "serving") {
		t.Fatal("the log output was not looked at")
	}
	for _, m := range recorded(t, shop) {
		hides(t, "the outside of "+m.Subject(), fmt.Sprint(m.Subject(), m.Headers()), append(secrets, personal...))
		if !strings.HasPrefix(m.Subject(), "events.realm.") {
			hides(t, m.Subject(), string(m.Data()), append(secrets[:6:6], secrets[7:]...)) // all but that it is Argon2id
		}
	}
}

func hides(t *testing.T, what, text string, secrets []string) {
	t.Helper()
	for _, s := range secrets {
		if strings.Contains(text, s) {
			t.Errorf("%s shows %q", what, s)
		}
	}
}

func filesIn(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		all.Write(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// recorded is every message on the stream.
func recorded(t *testing.T, shop *shoptest.Shop) (all []jetstream.Msg) {
	t.Helper()
	cons, err := shop.JS.OrderedConsumer(t.Context(), "IDENTITY", jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := cons.FetchNoWait(1000)
	if err != nil {
		t.Fatal(err)
	}
	for m := range batch.Messages() {
		all = append(all, m)
	}
	if err := batch.Error(); err != nil {
		t.Fatal(err)
	}
	return all
}
