package httpapi_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"lonja/kit/errs"
	"lonja/kit/httpapi/apitest"
)

// The memory of all bodies is bounded. When it is used up, small requests are still served,
// and a large one gets 503 with Retry-After.
func TestBodies_ShareABound(t *testing.T) {
	f := open(t)
	large := fmt.Sprintf(`{"email":"a","password":"b"%s,"c":1}`, strings.Repeat(" ", 900<<10))
	var held []net.Conn
	r := f.eventually(503, func() *apitest.Response {
		conn := f.dial()
		held = append(held, conn) // a body of which the last byte never comes
		fmt.Fprintf(conn, "POST /api/login HTTP/1.1\r\nHost: counters\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(large))
		go func() { _, _ = io.WriteString(conn, large[:len(large)-1]) }()
		return f.Do("POST", "/api/login", large)
	})
	r.ExpectProblem(503, errs.Unavailable, "")
	if r.Header.Get("Retry-After") != "1" {
		t.Errorf("%v", r.Header)
	}
	f.Do("POST", "/api/login", `{"email":"a","password":"b","c":1}`).ExpectProblem(422, errs.Invalid, "c")
	for _, conn := range held {
		_ = conn.Close()
	}
	f.eventually(422, func() *apitest.Response { return f.Do("POST", "/api/login", large) })
}

func (f *testAPI) dial() net.Conn {
	f.T.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.URL, "http://"))
	if err != nil {
		f.T.Fatal(err)
	}
	f.T.Cleanup(func() { _ = conn.Close() })
	return conn
}

// eventually repeats a request until the response has a status.
func (f *testAPI) eventually(status int, do func() *apitest.Response) *apitest.Response {
	f.T.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		r := do()
		if r.StatusCode == status {
			return r
		}
		if time.Now().After(deadline) {
			f.T.Fatalf("want %d, still %d %s", status, r.StatusCode, r.Text)
		}
	}
}

// A body of exactly 1 MB is still read.
func TestBodies_OneMegabyteIsRead(t *testing.T) {
	f := open(t)
	body := fmt.Sprintf(`{"email":"a","password":"b"%s,"c":1}`, strings.Repeat(" ", 1<<20-34))
	if len(body) != 1<<20 {
		t.Fatalf("%d bytes", len(body))
	}
	f.Do("POST", "/api/login", body).ExpectProblem(422, errs.Invalid, "c")
	f.Do("POST", "/api/login", body+" ").ExpectProblem(413, errs.Invalid, "")
}

// A body that breaks off is the client's error.
func TestBodies_BrokenOffIsMalformed(t *testing.T) {
	f := open(t)
	conn := f.dial()
	fmt.Fprint(conn, "POST /api/login HTTP/1.1\r\nHost: counters\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"ema\r\nno length\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: "POST"})
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Request, err = http.NewRequest("POST", f.URL+"/api/login", nil)
	if err != nil {
		t.Fatal(err)
	}
	(&apitest.Response{Response: resp, Text: string(body), T: t}).ExpectProblem(400, errs.Invalid, "")
}

// A body that may be missing is read as strictly as any other when it is there.
func TestOptionalPayload_MayBeMissing(t *testing.T) {
	f := open(t)
	var sent apitest.Add
	f.Fake("commands.counters.add", func(m *nats.Msg) any { _ = json.Unmarshal(m.Data, &sent); return sent.By })
	f.Do("DELETE", "/api/counters/a", "").Expect(200, "0")
	f.Do("DELETE", "/api/counters/a", `{"to":3}`).Expect(200, "3")
	f.Do("DELETE", "/api/counters/a", `{"to":0}`).ExpectProblem(422, errs.Invalid, "to")
	f.Do("DELETE", "/api/counters/a", `{"from":1,"to":1}`).ExpectProblem(422, errs.Invalid, "from")
	f.Do("DELETE", "/api/counters/a", `{"to":`).ExpectProblem(400, errs.Invalid, "")
	f.Do("DELETE", "/api/counters/a", `{"to":3}`, "Content-Type", "text/plain").ExpectProblem(415, errs.Invalid, "Content-Type")
	r, err := http.NewRequestWithContext(t.Context(), "DELETE", f.URL+"/api/counters/a", io.MultiReader()) // empty, of unknown length
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = -1
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("an empty body in chunks is answered with %s", resp.Status)
	}
	var doc struct {
		Paths map[string]map[string]struct {
			RequestBody struct{ Required bool }
		}
	}
	if err := json.Unmarshal([]byte(f.Do("GET", "/openapi.json", "").Text), &doc); err != nil {
		t.Fatal(err)
	}
	if path := "/api/counters/{counter}"; doc.Paths[path]["delete"].RequestBody.Required || !doc.Paths[path+"/additions"]["post"].RequestBody.Required {
		t.Error("the document does not tell which bodies are required")
	}
}
