package server

import (
	"net"
	"net/http"
	"slices"
	"sync"
)

// maxStrangers is how many connections may be open, of each port, that haven't sent a
// request yet. Crossplane's and the kubelet's are strangers for milliseconds.
const maxStrangers = 64

// strangers are connections that haven't sent a request yet, the oldest first: of the
// function's port those that haven't shown a certificate. One too many closes the
// oldest, so that whoever opens connections and says nothing can neither take memory
// nor keep others out.
type strangers struct {
	mu    sync.Mutex
	conns []net.Conn
}

// track a connection, as http.Server.ConnState has it.
func (s *strangers) track(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	if state != http.StateNew {
		s.conns = slices.DeleteFunc(s.conns, func(o net.Conn) bool { return o == c })
		s.mu.Unlock()
		return
	}
	s.conns = append(s.conns, c)
	var oldest net.Conn
	if len(s.conns) > maxStrangers {
		oldest, s.conns = s.conns[0], slices.Delete(s.conns, 0, 1)
	}
	s.mu.Unlock()
	if oldest != nil {
		_ = oldest.Close() // Who said nothing isn't told anything.
	}
}
