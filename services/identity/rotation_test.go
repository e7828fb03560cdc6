package identity

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"lonja/events/claims"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/httpapi/bearer"
	"lonja/kit/keyring"
	"lonja/kit/revocation"
	"lonja/shop/shoptest"
)

// movable is a clock that a test moves forward.
type movable struct{ ahead atomic.Int64 }

func (m *movable) now() time.Time             { return time.Now().Add(time.Duration(m.ahead.Load())) }
func (m *movable) moveTo(ahead time.Duration) { m.ahead.Store(int64(ahead)) }

// newGateway verifies tokens as a gateway does, which has just started.
func newGateway(shop *shoptest.Shop) *bearer.Verifier {
	return bearer.New(bearer.Config{Issuer: claims.Issuer, Audience: claims.Audience, Revoked: revocation.New(shop.Conn),
		FetchKeys: func(ctx context.Context) ([]byte, error) { return shop.Query(ctx, query.Keys{}, eventlog.Envelope{}) }})
}

func accepts(ctx context.Context, gateway *bearer.Verifier, token string) error {
	_, err := gateway.AccessToken(ctx, http.Header{"Authorization": {"Bearer " + token}})
	return err
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	tooLate := time.After(20 * time.Second)
	for !done() {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-tooLate:
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

// published returns the ids of the keys that the shop publishes.
func published(shop *shoptest.Shop) (ids []string) {
	var set query.Keyset
	shop.Get(query.Keys{}, eventlog.Actor{}, "", &set)
	for _, k := range set.Keys {
		ids = append(ids, k.KeyID)
	}
	return ids
}

// rotateTwice sends the command of two operators at once, and returns the key that both get.
func rotateTwice(t *testing.T, shop *shoptest.Shop) query.SigningKey {
	t.Helper()
	var got [2]query.SigningKey
	var both sync.WaitGroup
	for n := range got {
		both.Go(func() {
			reply, err := shop.Send(t.Context(), command.RotateKey{}, eventlog.Envelope{Actor: eventlog.Actor{ID: "service:operator"}})
			if err == nil {
				err = json.Unmarshal(reply.Body, &got[n])
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	if got[0].KeyID == "" || got[0].KeyID != got[1].KeyID || !got[0].ActiveAt.Equal(got[1].ActiveAt) {
		t.Fatalf("two operators got %+v", got)
	}
	return got[0]
}

// load logs in and refreshes all the time, and has every token verified at once.
type load struct {
	tokens  atomic.Int64
	newest  atomic.Pointer[string]
	stopped func()
}

func startLoad(t *testing.T, shop *shoptest.Shop, gateway *bearer.Verifier) *load {
	ctx, stop := context.WithCancel(t.Context())
	l := &load{}
	var working sync.WaitGroup
	for range 4 {
		working.Go(func() {
			for ctx.Err() == nil {
				if err := l.once(context.Background(), shop, gateway); err != nil {
					t.Errorf("after %d tokens: %v", l.tokens.Load(), err)
					return
				}
			}
		})
	}
	l.stopped = func() { stop(); working.Wait() }
	t.Cleanup(l.stopped)
	return l
}

func (l *load) once(ctx context.Context, shop *shoptest.Shop, gateway *bearer.Verifier) error {
	var held query.Tokens
	reply, err := shop.Send(ctx, command.LogIn{Email: "admin@lonja.local", Password: password}, eventlog.Envelope{})
	for range 3 {
		if err == nil {
			err = json.Unmarshal(reply.Body, &held)
		}
		if err == nil {
			err = accepts(ctx, gateway, held.AccessToken)
		}
		if err != nil {
			return err
		}
		l.tokens.Add(1)
		newest := held.AccessToken // held is written again
		l.newest.Store(&newest)
		reply, err = shop.Send(ctx, command.RefreshSession{RefreshToken: held.RefreshToken}, eventlog.Envelope{})
	}
	return err
}

// next returns a token that was issued after the call.
func (l *load) next(t *testing.T) string {
	t.Helper()
	before := l.tokens.Load() + 8 // those under way
	eventually(t, "another token", func() bool { return l.tokens.Load() > before || t.Failed() })
	return *l.newest.Load()
}

// keyOfToken returns the id of the key that signed a token.
func keyOfToken(t *testing.T, token string) string {
	t.Helper()
	parsed, _, err := jwt.NewParser().ParseUnverified(token, &claims.Access{})
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Header["kid"].(string)
}

// TestRotation_UnderLoad rotates the key of two replicas while people log in and refresh. The
// gateway never rejects a token that is valid.
func TestRotation_UnderLoad(t *testing.T) {
	shop, clock := shoptest.Start(t), &movable{}
	config := Config{AdminPassword: password, derive: quick, now: clock.now}
	a, dirB := start(t, shop, "a", t.TempDir(), config).serves(t), t.TempDir()
	b := start(t, shop, "b", dirB, config).serves(t)
	gateway := newGateway(shop)
	l := startLoad(t, shop, gateway)
	old := l.next(t)
	first := keyOfToken(t, old)

	rotated := rotateTwice(t, shop)
	eventually(t, "it is published before it signs", func() bool { return slices.Equal(published(shop), []string{first, rotated.KeyID}) })
	if until := rotated.ActiveAt.Sub(clock.now()); until <= 5*time.Minute || until > keyLead {
		t.Fatalf("it signs in %v, but published keys may be kept for five minutes", until)
	}
	// A replica is away in the minutes in which the others learn of the key.
	b.stopped(t)
	b = start(t, shop, "b", dirB, config).serves(t)
	eventually(t, "the replicas know the key", func() bool { return len(a.known.Load().all) == 2 && len(b.known.Load().all) == 2 })
	unknown, err := issuer{keys: keys{keyOf(added(7, noon), eventlog.Record{})}}.sign(claims.Access{}, noon)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the gateway fetches it", func() bool {
		_ = accepts(t.Context(), gateway, unknown)
		return strings.Contains(string(gateway.Keys()), rotated.KeyID)
	})
	if kid := keyOfToken(t, l.next(t)); kid != first {
		t.Fatalf("%s signs already", kid)
	}

	clock.moveTo(keyLead)
	if kid := keyOfToken(t, l.next(t)); kid != rotated.KeyID {
		t.Fatalf("%s still signs", kid)
	}
	clock.moveTo(keyLead + keyLinger - time.Minute)
	for _, gateway := range []*bearer.Verifier{gateway, newGateway(shop)} {
		if err := accepts(t.Context(), gateway, old); err != nil {
			t.Errorf("an old token that is alive: %v", err)
		}
	}
	l.next(t)
	clock.moveTo(keyLead + keyLinger)
	if ids := published(shop); !slices.Equal(ids, []string{rotated.KeyID}) {
		t.Errorf("published in the end: %v", ids)
	}
	if err := accepts(t.Context(), newGateway(shop), old); !errs.Is(err, errs.Unauthenticated) {
		t.Errorf("a token of the key that is not published any more: %v", err)
	}
	l.next(t)
	sealing := func(kid string) error {
		_, err := keyring.New(shop.JS, shop.KEKs).Key("key_" + kid)
		return err
	}
	eventually(t, "what the old key is sealed with is destroyed", func() bool { return errors.Is(sealing(first), eventlog.ErrKeyDestroyed) })
	if err := sealing(rotated.KeyID); err != nil {
		t.Errorf("what the new key is sealed with: %v", err)
	}
	b.stopped(t)
	b = start(t, shop, "b", dirB, config).serves(t)
	if ks := b.known.Load().all; ks[0].private != nil || ks[1].private == nil {
		t.Errorf("a replica that starts later can sign with %v and %v", ks[0].private != nil, ks[1].private != nil)
	}
	l.next(t)
	l.stopped()
	t.Logf("%d tokens, each verified at once", l.tokens.Load())
	if n := keysRecorded(t, shop); n != 2 {
		t.Errorf("%d keys are recorded", n)
	}
}

func keysRecorded(t *testing.T, shop *shoptest.Shop) (n int) {
	t.Helper()
	for _, m := range recorded(t, shop) {
		if strings.HasSuffix(m.Subject(), ".key_added") {
			n++
		}
	}
	return n
}

// A token that is made again, for a command that comes again, is the same one although
// another key signs meanwhile.
func TestRotation_ARepeatedCommandGetsTheSameToken(t *testing.T) {
	shop, clock := shoptest.Start(t), &movable{}
	r := start(t, shop, "a", t.TempDir(), Config{AdminPassword: password, derive: quick, now: clock.now}).serves(t)
	login, id := command.LogIn{Email: "admin@lonja.local", Password: password}, eventlog.Envelope{ID: eventlog.NewID()}
	once, err := shop.Send(t.Context(), login, id)
	if err != nil {
		t.Fatal(err)
	}
	rotated := rotateTwice(t, shop)
	eventually(t, "the replica knows the key", func() bool { return len(r.known.Load().all) == 2 })
	clock.moveTo(keyLead)
	var now query.Tokens
	shop.Do(login, eventlog.Actor{}, &now)
	if kid := keyOfToken(t, now.AccessToken); kid != rotated.KeyID {
		t.Fatalf("%s still signs", kid)
	}
	twice, err := shop.Send(t.Context(), login, id)
	if err != nil || !twice.Replayed || !bytes.Equal(once.Body, twice.Body) {
		t.Errorf("%v\nonce  %s\ntwice %s", err, once.Body, twice.Body)
	}
}

// A replica that was suspended during a rotation loads the keys before it signs or publishes, and
// does neither while the log does not answer.
func TestRotation_WhileAReplicaIsSuspended(t *testing.T) {
	shop, clock := shoptest.Start(t), &movable{}
	r := startTended(t, shop, "a", t.TempDir(), Config{AdminPassword: password, derive: quick, now: clock.now}, time.Hour).serves(t)
	rotated := rotateTwice(t, shop)
	noAnswer, cancel := context.WithCancel(t.Context())
	cancel()
	clock.moveTo(keysKept - 10*time.Second)
	if iss, err := r.signing(noAnswer); err != nil || len(iss.keys) == 0 {
		t.Fatalf("a moment later: %v, %v", iss.keys, err)
	}

	clock.moveTo(keyLead + keyLinger)
	if _, err := r.signing(noAnswer); !errs.Is(err, errs.Unavailable) {
		t.Errorf("it signs while it cannot know the keys: %v", err)
	}
	if set, err := r.listKeys(noAnswer, query.Keys{}, eventlog.Actor{}); !errs.Is(err, errs.Unavailable) {
		t.Errorf("it publishes while it cannot know the keys: %v, %v", set, err)
	}
	var tokens query.Tokens
	shop.Do(command.LogIn{Email: "admin@lonja.local", Password: password}, eventlog.Actor{}, &tokens)
	if kid := keyOfToken(t, tokens.AccessToken); kid != rotated.KeyID {
		t.Errorf("%s signs, which is retired", kid)
	}
	clock.moveTo(keyLead + keyLinger + time.Hour)
	if ids := published(shop); !slices.Equal(ids, []string{rotated.KeyID}) {
		t.Errorf("published: %v", ids)
	}
}

// All replicas notice that the key is old; one key is added, and not again while that one is
// young.
func TestRotation_ByAge(t *testing.T) {
	shop, clock := shoptest.Start(t), &movable{}
	const age = 90 * 24 * time.Hour
	config := Config{AdminPassword: password, derive: quick, now: clock.now, SigningKeyAge: age}
	a, b := start(t, shop, "a", t.TempDir(), config).serves(t), start(t, shop, "b", t.TempDir(), config).serves(t)
	for n, ahead := range []time.Duration{0, age - time.Minute, age + time.Minute, 2*age - time.Minute, 2*age + keyLead + time.Hour} {
		clock.moveTo(ahead)
		want := []int{1, 1, 2, 2, 3}[n]
		eventually(t, fmt.Sprintf("%d keys %v later", want, ahead), func() bool { return len(a.known.Load().all) == want && len(b.known.Load().all) == want })
		for _, r := range []*replica{a, b, a, b} {
			if err := r.tendKeys(t.Context(), keyring.New(shop.JS, shop.KEKs)); err != nil {
				t.Fatal(err)
			}
		}
		if n := keysRecorded(t, shop); n != want {
			t.Fatalf("%v later %d keys are recorded, want %d", ahead, n, want)
		}
	}
}
