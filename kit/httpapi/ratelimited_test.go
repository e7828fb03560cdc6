package httpapi_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"lonja/kit/errs"
	"lonja/kit/httpapi"
	"lonja/kit/httpapi/apitest"
)

// A service gets a pseudonym of the client's address, not the address. Only trusted proxies
// can say that the address is another one than the connection's.
func TestRateLimited_PassesPseudonymOfClientAddress(t *testing.T) {
	f := open(t)
	var from string
	f.Fake("commands.counters.add", func(m *nats.Msg) any { from = apitest.Envelope(m).Actor.ClientNetwork; return struct{}{} })
	behind := func(trusted ...string) func(remote string, forwarded ...string) string {
		handler := f.serve(func(c *httpapi.Config) { c.TrustedProxies = trusted })
		return func(remote string, forwarded ...string) string {
			t.Helper()
			req := httptest.NewRequest("POST", "/api/login", strings.NewReader(`{"email":"ana@example.com","password":"correct horse"}`))
			req.RemoteAddr = remote
			req.Header.Set("Content-Type", "application/json")
			req.Header["X-Forwarded-For"] = forwarded
			rec := httptest.NewRecorder()
			handler.ServeHTTP(rec, req)
			if rec.Code != 200 {
				t.Fatalf("%d %s", rec.Code, rec.Body)
			}
			if strings.Contains(from, "192.0.2") {
				t.Errorf("the address itself is passed on: %s", from)
			}
			return from
		}
	}
	direct, proxied := behind(), behind("10.0.0.0/8", "2001:db8:1::1")
	ana := direct("192.0.2.1:1000")
	other := direct("192.0.2.2:1000")
	if ana == "" || ana == other {
		t.Fatalf("two addresses are %q and %q", ana, other)
	}
	for name, c := range map[string]struct{ got, want string }{
		"another port":                          {direct("192.0.2.1:2000"), ana},
		"the same as IPv6 writes it":            {direct("[::ffff:192.0.2.1]:1"), ana},
		"a header that nobody asked for":        {direct("192.0.2.1:1", "192.0.2.2"), ana},
		"through a proxy":                       {proxied("10.1.2.3:1", "192.0.2.1"), ana},
		"through a proxy over IPv6":             {proxied("[2001:db8:1::1]:1", "192.0.2.1"), ana},
		"through a proxy that writes ports":     {proxied("10.1.2.3:1", "192.0.2.1:4711"), ana},
		"through two":                           {proxied("10.1.2.3:1", "192.0.2.1, 10.9.9.9"), ana},
		"through two with a header each":        {proxied("10.1.2.3:1", "192.0.2.1", "10.9.9.9"), ana},
		"with a lie before the truth":           {proxied("10.1.2.3:1", "192.0.2.2, 192.0.2.1"), ana},
		"with nonsense before the truth":        {proxied("10.1.2.3:1", "10.0.0.1, <script>, 192.0.2.1"), ana},
		"past the proxy, with a lie":            {proxied("192.0.2.1:1", "192.0.2.2"), ana},
		"of the proxy itself":                   {proxied("10.1.2.3:1"), direct("10.1.2.3:1")},
		"through a proxy that says nonsense":    {proxied("10.1.2.3:1", "192.0.2.1, <script>"), direct("10.1.2.3:1")},
		"of one network of IPv6":                {direct("[2001:db8:2::1]:1"), direct("[2001:db8:2::ffff]:1")},
		"of one network of IPv6, with its zone": {direct("[fe80::1%eth0]:1"), direct("[fe80::2]:1")},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, not %q", name, c.got, c.want)
		}
	}
	if a, b := direct("[2001:db8:2::1]:1"), direct("[2001:db8:3::1]:1"); a == b {
		t.Error("two networks of IPv6 are one")
	}
	c := f.Config()
	c.TrustedProxies = []string{"10.0.0.0/33"}
	if _, err := httpapi.New(c); err == nil || !strings.Contains(err.Error(), "10.0.0.0/33") {
		t.Errorf("an invalid network: %v", err)
	}
}

func TestRateLimited_ResponseHasRetryAfter(t *testing.T) {
	f := open(t)
	f.Fake("commands.counters.add", func(*nats.Msg) any { return errs.TooManyRequests(6500 * 1e6) })
	r := f.Do("POST", "/api/login", `{"email":"ana@example.com","password":"correct horse"}`)
	r.ExpectProblem(429, errs.RateLimited, "")
	if got := r.Header.Get("Retry-After"); got != "7" {
		t.Errorf("Retry-After %q", got)
	}
}
