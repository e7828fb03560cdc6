package payments

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bojanz/currency"
	stripe "github.com/stripe/stripe-go/v85"
	"pgregory.net/rapid"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/eventlog"
	"lonja/kit/service"
)

const testKey = "sk_test_51secretsecretsecret"

func stripeAt(t *testing.T, api string) Provider {
	t.Helper()
	s, err := openStripe(Settings{ReturnURL: "https://shop.example/thanks?order={order}", StripeKey: testKey, StripeAPI: api})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func anAttempt() Attempt {
	now := time.Now()
	return Attempt{PaymentID: id, OrderID: order, Number: 1, Amount: amount, AskedAt: now, ExpiresAt: now.Add(15 * time.Minute)}
}

// startStripeMock runs stripe-mock, which checks each request against Stripe's own description of
// its API, and returns its address.
func startStripeMock(t *testing.T) string {
	t.Helper()
	mock := filepath.Join(t.TempDir(), "stripe-mock")
	if out, err := exec.Command("go", "build", "-modfile=../../tools/go.mod", "-o", mock, "github.com/stripe/stripe-mock").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd := exec.Command(mock, "-http-addr", "127.0.0.1:0")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, at, found := strings.Cut(lines.Text(), "Listening for HTTP at address: "); found {
			return "http://" + at
		}
	}
	t.Fatal("stripe-mock does not listen")
	return ""
}

// Every request that the shop makes fits Stripe's description of its API.
func TestStripe_RequestsAreValid(t *testing.T) {
	s := stripeAt(t, startStripeMock(t))
	page, err := s.Open(t.Context(), "key-1", anAttempt())
	if err != nil || page.Reference == "" || !strings.HasPrefix(page.URL, "https://") {
		t.Errorf("opened %+v, %v", page, err)
	}
	if err := s.Close(t.Context(), "key-2", page.Reference); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := s.Refund(t.Context(), "key-3", Refund{PaymentID: id, OrderID: order, Capture: "pi_1", Amount: amount}); err != nil {
		t.Errorf("refund: %v", err)
	}
	wrong := &stripe.CheckoutSessionCreateParams{Mode: stripe.String("no mode")} // to see that it does check
	if _, err := s.(stripeProvider).client.V1CheckoutSessions.Create(t.Context(), wrong); err == nil {
		t.Error("stripe-mock checks nothing")
	}
}

// standIn is a Stripe with a memory: sessions and refunds, each once for an idempotency key.
type standIn struct {
	*httptest.Server
	t        *testing.T
	mu       sync.Mutex
	sessions map[string]url.Values // by id
	status   map[string]string     // of sessions
	answers  map[string]string     // by idempotency key
	requests []*http.Request
	refunds  []url.Values
	// fault may answer in the stand-in's place, before or after the call has taken effect.
	fault func(w http.ResponseWriter, r *http.Request, after bool) (answered bool)
}

func newStandIn(t *testing.T) *standIn {
	t.Helper()
	s := &standIn{t: t, sessions: map[string]url.Values{}, status: map[string]string{}, answers: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/checkout/sessions", s.keyed(func(r *http.Request) (int, string) {
		ref := "cs_test_" + strconv.Itoa(len(s.sessions)+1)
		s.sessions[ref], s.status[ref] = r.PostForm, "open"
		return 200, s.session(ref)
	}))
	mux.HandleFunc("POST /v1/checkout/sessions/{id}/expire", s.keyed(func(r *http.Request) (int, string) {
		ref := r.PathValue("id")
		if s.status[ref] != "open" {
			return 400, `{"error":{"type":"invalid_request_error","message":"Only Checkout Sessions with a status in [\"open\"] can be expired."}}`
		}
		s.status[ref] = "expired"
		return 200, s.session(ref)
	}))
	mux.HandleFunc("GET /v1/checkout/sessions/{id}", s.keyed(func(r *http.Request) (int, string) { return 200, s.session(r.PathValue("id")) }))
	mux.HandleFunc("POST /v1/refunds", s.keyed(func(r *http.Request) (int, string) {
		s.refunds = append(s.refunds, r.PostForm)
		return 200, `{"id":"re_1","object":"refund","status":"succeeded"}`
	}))
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func (s *standIn) session(ref string) string {
	return fmt.Sprintf(`{"id":%q,"object":"checkout.session","status":%q,"url":"https://checkout.stripe.example/%s"}`, ref, s.status[ref], ref)
}

// keyed answers a request once for its idempotency key.
func (s *standIn) keyed(effect func(*http.Request) (int, string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.requests = append(s.requests, r)
		if s.fault != nil && s.fault(w, r, false) {
			return
		}
		key := r.Header.Get("Idempotency-Key")
		body, known := s.answers[key]
		status := 200
		if !known || r.Method == "GET" {
			if status, body = effect(r); r.Method != "GET" && status == 200 {
				s.answers[key] = body
			}
		}
		if s.fault != nil && s.fault(w, r, true) {
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

func TestStripe_APageIsMadeOnceForAKey(t *testing.T) {
	standIn := newStandIn(t)
	s := stripeAt(t, standIn.URL)
	a := anAttempt()
	lost := true
	standIn.fault = func(w http.ResponseWriter, _ *http.Request, after bool) bool { // the first answer is lost
		if after && lost {
			lost = false
			panic(http.ErrAbortHandler)
		}
		return false
	}
	if _, err := s.Open(t.Context(), "key", a); err == nil || service.IsPermanent(err) {
		t.Errorf("an answer that is lost: %v", err)
	}
	page, err := s.Open(t.Context(), "key", a)
	if err != nil || page != (Page{"cs_test_1", "https://checkout.stripe.example/cs_test_1"}) || len(standIn.sessions) != 1 {
		t.Fatalf("opened %+v of %d, %v", page, len(standIn.sessions), err)
	}
	form := standIn.sessions["cs_test_1"]
	for field, want := range map[string]string{
		"mode": "payment", "client_reference_id": string(order), "success_url": "https://shop.example/thanks?order=ord_ana",
		"metadata[order_id]": string(order), "metadata[payment_id]": string(id), "metadata[attempt]": "1", "payment_intent_data[metadata][payment_id]": string(id),
		"line_items[0][price_data][unit_amount]": "1695", "line_items[0][price_data][currency]": "gbp", "line_items[0][quantity]": "1",
	} {
		if got := form.Get(field); got != want {
			t.Errorf("%s is %q, want %q", field, got, want)
		}
	}
	if n, _ := strconv.ParseInt(form.Get("expires_at"), 10, 64); time.Until(time.Unix(n, 0)) < 30*time.Minute || time.Until(time.Unix(n, 0)) > 24*time.Hour {
		t.Errorf("the page expires at %s", form.Get("expires_at"))
	}
	for _, r := range standIn.requests {
		if r.Header.Get("Idempotency-Key") != "key" || r.Header.Get("Authorization") != "Bearer "+testKey || r.Header.Get("X-Stripe-Client-Telemetry") != "" {
			t.Errorf("asked with %v", r.Header)
		}
	}
}

// Two calls under one key must be equal, and neither may ask for a time that Stripe refuses.
func TestStripe_ExpiryIsTheSameInEachCallAndOneThatStripeTakes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		asked := time.Unix(1_790_000_000, 0)
		deadline := time.Duration(rapid.Int64Range(int64(time.Minute), int64(20*time.Hour)).Draw(t, "deadline"))
		a := Attempt{AskedAt: asked, ExpiresAt: asked.Add(deadline)}
		called := asked.Add(time.Duration(rapid.Int64Range(0, int64(deadline/2)).Draw(t, "after"))) // see providers.pages
		if lives := expiryOf(a).Sub(called); lives < 30*time.Minute || lives > 24*time.Hour {
			t.Fatalf("the page would live %v", lives)
		}
	})
}

func TestStripe_ClosesWhatIsOpenOnly(t *testing.T) {
	standIn := newStandIn(t)
	s := stripeAt(t, standIn.URL)
	page, err := s.Open(t.Context(), "key", anAttempt())
	if err != nil {
		t.Fatal(err)
	}
	for i, status := range []string{"open", "expired", "complete"} {
		standIn.status[page.Reference] = status
		if err := s.Close(t.Context(), "close-"+strconv.Itoa(i), page.Reference); err != nil {
			t.Errorf("%s: %v", status, err)
		}
	}
	if standIn.status[page.Reference] != "complete" {
		t.Errorf("a page that was paid is %s", standIn.status[page.Reference])
	}
}

// What Stripe says of trying again is followed, and nothing that it says is shown.
func TestStripe_ErrorsSayWhetherToTryAgainAndNothingSecret(t *testing.T) {
	for name, c := range map[string]struct {
		status    int
		header    map[string]string
		body      string
		permanent bool
		after     time.Duration
		shows     string
	}{
		"wrong":        {400, nil, `{"error":{"type":"invalid_request_error","code":"parameter_missing","param":"mode","message":"sk_test_51secret is wrong"}}`, true, 0, "parameter_missing"},
		"other body":   {400, nil, `{"error":{"type":"idempotency_error","message":"Keys can only be used with the same parameters"}}`, true, 0, "idempotency_error"},
		"in progress":  {409, nil, `{"error":{"type":"idempotency_error","code":"idempotency_key_in_use"}}`, false, 0, "idempotency_key_in_use"},
		"wrong key":    {401, nil, `{"error":{"message":"Invalid API Key provided: ` + testKey + `"}}`, false, 0, "401"},
		"busy":         {429, map[string]string{"Retry-After": "7"}, `{"error":{"type":"api_error"}}`, false, 7 * time.Second, "429"},
		"broken":       {500, nil, `{"error":{"type":"api_error","message":"customer ana@example.com"}}`, false, 0, "500"},
		"never again":  {500, map[string]string{"Stripe-Should-Retry": "false"}, `{"error":{"type":"api_error"}}`, true, 0, "500"},
		"do try again": {400, map[string]string{"Stripe-Should-Retry": "true"}, `{"error":{"type":"invalid_request_error"}}`, false, 0, "400"},
		"no JSON":      {502, nil, `<html>` + testKey, false, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			standIn := newStandIn(t)
			standIn.fault = func(w http.ResponseWriter, _ *http.Request, _ bool) bool {
				for k, v := range c.header {
					w.Header().Set(k, v)
				}
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
				return true
			}
			_, err := stripeAt(t, standIn.URL).Open(t.Context(), "key", anAttempt())
			if err == nil || !strings.Contains(err.Error(), c.shows) {
				t.Fatalf("got %v", err)
			}
			if service.IsPermanent(err) != c.permanent {
				t.Errorf("permanent is %t: %v", !c.permanent, err)
			}
			if told := service.RetryTime(err); told != c.after {
				t.Errorf("to be tried again after %v, want %v", told, c.after)
			}
			for _, secret := range []string{"sk_", "ana@", "secret"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error shows %s: %v", secret, err)
				}
			}
		})
	}
}

func TestStripe_AHangingCallEnds(t *testing.T) {
	standIn := newStandIn(t)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	standIn.fault = func(http.ResponseWriter, *http.Request, bool) bool { <-release; return true }
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := stripeAt(t, standIn.URL).Open(ctx, "key", anAttempt()); !errors.Is(err, context.DeadlineExceeded) || service.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
}

func TestStripe_IsConfiguredCompletely(t *testing.T) {
	good := Settings{ReturnURL: "https://shop.example", StripeKey: testKey}
	for want, change := range map[string]func(*Settings){
		"--stripe-key-file":    func(s *Settings) { s.StripeKey = "" },
		"and nothing else":     func(s *Settings) { s.StripeKey = "pk_test_" + testKey },
		"--payment-return-url": func(s *Settings) { s.ReturnURL = "/thanks" },
		"--stripe-api":         func(s *Settings) { s.StripeAPI = "localhost" },
	} {
		s := good
		change(&s)
		_, err := OpenProviders([]string{"stripe"}, s)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret"+"secret") {
			t.Errorf("%s: %v", want, err)
		}
	}
	if _, err := OpenProviders([]string{"sandbox", "stripe"}, good); err != nil {
		t.Error(err)
	}
	for _, names := range [][]string{{"sandbox", "sandbox"}, {"paypal"}} {
		if _, err := OpenProviders(names, good); err == nil {
			t.Errorf("%v were opened", names)
		}
	}
}

// An amount at Stripe is the same money: as a decimal number it does not change.
func TestStripe_UnitsAreTheSameMoney(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		code := rapid.SampledFrom(currency.GetCurrencyCodes()).Draw(t, "currency")
		m := events.Money{Amount: rapid.Int64Range(0, events.MaxAmount).Draw(t, "amount"), Currency: code}
		ours, _ := currency.GetDigits(code)
		theirs, listed := stripeDecimals[code]
		if !listed {
			theirs = 2
		}
		got, low, err := stripeProvider{}.Units(m)
		if err != nil {
			if !service.IsPermanent(err) || int(ours) < theirs || theirs == 2 && int(ours) == 2 {
				t.Fatalf("%s: %v", m, err)
			}
			return
		}
		a, _ := currency.NewAmountFromInt64(m.Amount, code)
		scale := strings.Repeat("0", theirs)
		b, _ := currency.NewAmount(strconv.FormatInt(got, 10), code)
		b, _ = b.Div("1" + scale)
		if !a.Equal(b) || low != strings.ToLower(code) || theirs == 3 && got%10 != 0 {
			t.Fatalf("%s is %d %s at Stripe", m, got, low)
		}
	})
	for m, want := range map[events.Money]int64{
		{Amount: 500, Currency: "JPY"}: 500, {Amount: 5120, Currency: "KWD"}: 5120, {Amount: 1695, Currency: "GBP"}: 1695,
		{Amount: 5, Currency: "ISK"}: 500, {Amount: 7, Currency: "UGX"}: 700, {Amount: 500, Currency: "MGA"}: 5,
	} {
		if got, _, err := (stripeProvider{}).Units(m); err != nil || got != want {
			t.Errorf("%s is %d at Stripe, want %d; %v", m, got, want, err)
		}
	}
	for _, m := range []events.Money{{Amount: 5124, Currency: "KWD"}, {Amount: 501, Currency: "MGA"}} {
		if _, _, err := (stripeProvider{}).Units(m); !service.IsPermanent(err) {
			t.Errorf("%s: %v", m, err)
		}
	}
}

// The page of an order is Stripe's, also when Stripe was away at first.
func TestStripe_AnOrderGetsItsPage(t *testing.T) {
	standIn := newStandIn(t)
	fails := 2
	standIn.fault = func(w http.ResponseWriter, _ *http.Request, after bool) bool {
		if fails > 0 && !after {
			fails--
			w.WriteHeader(503)
			return true
		}
		return false
	}
	shop := open(t, New(Config{Providers: []Provider{stripeAt(t, standIn.URL)}}))
	shop.Record("ORDERS", awaiting)
	page := await[events.PaymentOpened](shop)
	var p query.PaymentView
	shop.Get(query.Payment{PaymentID: id}, anyone, eventlog.Position("PAYMENTS", shop.recorded()), &p)
	if p.URL != "https://checkout.stripe.example/cs_test_1" || page.Reference != "cs_test_1" || len(standIn.sessions) != 1 {
		t.Errorf("shown as %+v", p)
	}
	for seq := uint64(1); seq <= shop.recorded(); seq++ {
		m, err := shop.stream().GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(m.Data), "sk_") || !json.Valid(m.Data) {
			t.Errorf("recorded %s", m.Data)
		}
	}
	shop.Record("ORDERS", cancelled)
	await[events.PaymentPageClosed](shop)
	if standIn.status["cs_test_1"] != "expired" {
		t.Errorf("the page is %s", standIn.status["cs_test_1"])
	}
}
