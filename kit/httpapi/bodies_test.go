package httpapi_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

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
