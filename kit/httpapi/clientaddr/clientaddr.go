// Package clientaddr finds out which network address a request came from when
// trusted proxies stand in front of the server, and turns it into a pseudonym.
//
// A proxy appends the address that it received the request from to
// X-Forwarded-For. Anybody can send that header, so only entries that a trusted
// proxy wrote are believed. Without trusted proxies the header is ignored and the
// address is that of the connection.
//
// The pseudonym lets a service limit the requests of one client without learning its
// address.
package clientaddr

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"lonja/kit/eventlog"
)

// Proxies are the networks of the proxies whose X-Forwarded-For is believed. Nil
// trusts none.
type Proxies []netip.Prefix

// ParseProxies parses networks, such as "10.0.0.0/8", and single addresses. The
// error names the first one that is neither.
func ParseProxies(networks []string) (p Proxies, err error) {
	for _, s := range networks {
		network, err := netip.ParsePrefix(s)
		if err != nil {
			addr, err := netip.ParseAddr(s)
			if err != nil {
				return nil, fmt.Errorf("%q must be an address, or a network such as 10.0.0.0/8", s)
			}
			network = netip.PrefixFrom(addr, addr.BitLen())
		}
		p = append(p, network.Masked())
	}
	return p, nil
}

func (p Proxies) trusts(a netip.Addr) bool {
	for _, network := range p {
		if network.Contains(a) {
			return true
		}
	}
	return false
}

// Client returns the address that a request came from. It is the zero Addr when the
// request's RemoteAddr is not an address.
//
// X-Forwarded-For is read from its end, as long as the proxy that wrote an entry is
// trusted: everything before that could have been sent by the client itself.
func (p Proxies) Client(r *http.Request) (client netip.Addr) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return client
	}
	client = peer.Addr().Unmap().WithZone("")
	hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for i := len(hops) - 1; i >= 0 && p.trusts(client); i-- {
		previous, ok := parseHop(strings.TrimSpace(hops[i]))
		if !ok {
			break
		}
		client = previous
	}
	return client
}

// parseHop parses an address; some proxies append a port.
func parseHop(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		withPort, err := netip.ParseAddrPort(s)
		if err != nil {
			return a, false
		}
		a = withPort.Addr()
	}
	return a.Unmap().WithZone(""), true
}

// Pseudonym returns an identifier of the address that a request came from, "" when
// that is unknown. It is the same for all addresses that one client usually gets: for
// IPv6, those of a 64-bit network.
func (p Proxies) Pseudonym(r *http.Request) string {
	a := p.Client(r)
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	network, err := a.Prefix(bits)
	if err != nil {
		return ""
	}
	return eventlog.DeriveID("client", network.String())
}
