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
)

// roundTrips sends text on one connection and returns the status of each response, up to the
// given number or to the end of the connection.
func (f *testAPI) roundTrips(sent string, answers int) (statuses []int, ended bool) {
	f.T.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.URL, "http://"))
	if err != nil {
		f.T.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(8 * time.Second)); err != nil {
		f.T.Fatal(err)
	}
	go fmt.Fprint(conn, sent)
	for r := bufio.NewReader(conn); ; {
		resp, err := http.ReadResponse(r, nil)
		if err != nil || len(statuses) == answers {
			return statuses, err != nil
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			f.T.Fatal(err)
		}
		statuses = append(statuses, resp.StatusCode)
		if len(statuses) == answers && !resp.Close {
			return statuses, false
		}
	}
}

// A request with an ambiguous length is rejected, and nothing that follows on its connection
// is handled as a request.
func TestServe_RejectsAmbiguousLength(t *testing.T) {
	f := open(t)
	f.listen()
	const (
		head     = "POST /api/login HTTP/1.1\r\nHost: counters\r\nContent-Type: application/json\r\n"
		length   = "Content-Length: 2\r\n"
		coding   = "Transfer-Encoding: chunked\r\n"
		chunked  = "2\r\n{}\r\n0\r\n\r\n"
		smuggled = "GET /healthz HTTP/1.1\r\nHost: counters\r\n\r\n"
	)
	for name, tt := range map[string]struct {
		sent string
		want string
	}{
		"a length":                       {head + length + "\r\n{}" + smuggled, "[422 200]"},
		"a length, and again":            {head + length + length + "\r\n{}" + smuggled, "[422 200]"},
		"a coding":                       {head + coding + "\r\n" + chunked + smuggled, "[422] end"},
		"a length and a coding":          {head + length + coding + "\r\n" + chunked + smuggled, "[400] end"},
		"a coding and a length":          {head + coding + length + "\r\n" + chunked + smuggled, "[400] end"},
		"in small letters":               {head + strings.ToLower(coding+length) + "\r\n" + chunked + smuggled, "[400] end"},
		"with bare line ends":            {strings.ReplaceAll(head+coding+length+"\r\n", "\r\n", "\n") + chunked + smuggled, "[400] end"},
		"with a length far to the right": {head + coding + "Content-Length:" + strings.Repeat(" ", 200) + "2\r\n\r\n" + chunked + smuggled, "[400] end"},
		"after a long line":              {head + "X: " + strings.Repeat("x", 9_000) + "\r\n" + coding + length + "\r\n" + chunked + smuggled, "[400] end"},
		"of a version without codings":   {strings.Replace(head, "1.1", "1.0", 1) + "Connection: keep-alive\r\n" + coding + length + "\r\n{}" + smuggled, "[400] end"},
		"a coding of such a version":     {strings.Replace(head, "1.1", "1.0", 1) + "Connection: keep-alive\r\n" + coding + "\r\n" + chunked + smuggled, "[400] end"},
		"two lengths":                    {head + length + "Content-Length: 3\r\n\r\n{} " + smuggled, "[400] end"},
		"a length that is none":          {head + "Content-Length: +2\r\n\r\n{}" + smuggled, "[400] end"},
		"both in a body":                 {head + fmt.Sprintf("Content-Length: %d\r\n\r\n", len("\r\n"+length+coding+"\r\n")) + "\r\n" + length + coding + "\r\n" + smuggled, "[400 200]"},
	} {
		statuses, ended := f.roundTrips(tt.sent, 2)
		got := fmt.Sprint(statuses)
		if ended {
			got += " end"
		}
		if got != tt.want {
			t.Errorf("%s: want %s, got %s", name, tt.want, got)
		}
	}
}

// A head that arrives byte by byte, after another request, is scanned as well.
func TestServe_RejectsAmbiguousLengthInPieces(t *testing.T) {
	f := open(t)
	f.listen()
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	fmt.Fprint(conn, "GET /healthz HTTP/1.1\r\nHost: counters\r\n\r\n")
	resp, err := http.ReadResponse(answers, nil)
	if err != nil || resp.StatusCode != 200 || resp.Close {
		t.Fatalf("%v %v", resp, err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	go func() {
		for _, b := range []byte("POST /api/login HTTP/1.1\r\nHost: counters\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n") {
			_, _ = conn.Write([]byte{b})
		}
	}()
	resp, err = http.ReadResponse(answers, nil)
	if err != nil || resp.StatusCode != 400 || !resp.Close {
		t.Errorf("%v %v", resp, err)
	}
}
