package security

import (
	"io"
	"net"
	"sync"
	"testing"
)

// cutProxy is a TCP proxy that can be disconnected.
type cutProxy struct {
	t      *testing.T
	addr   string
	target string
	mu     sync.Mutex
	cut    bool
	open   []net.Conn
}

func newCutProxy(t *testing.T, target string) *cutProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &cutProxy{t: t, addr: l.Addr().String(), target: target}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			w.carry(conn)
		}
	}()
	t.Cleanup(func() { _ = l.Close(); w.setCut(true) })
	return w
}

func (w *cutProxy) carry(from net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	to, err := net.Dial("tcp", w.target)
	if w.cut || err != nil {
		_ = from.Close()
		if err == nil {
			_ = to.Close()
		}
		return
	}
	w.open = append(w.open, from, to)
	for _, pair := range [][2]net.Conn{{from, to}, {to, from}} {
		go func() { _, _ = io.Copy(pair[0], pair[1]); _ = pair[0].Close(); _ = pair[1].Close() }()
	}
}

// setCut disconnects or reconnects the proxy.
func (w *cutProxy) setCut(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
	for _, conn := range w.open {
		_ = conn.Close()
	}
	w.open = nil
}
