"""Other libraries' interfaces over this one: a program moves over by changing one import.

``trio_ws.compat.trio_websocket`` is that of trio-websocket.  Nothing else in trio_ws imports this
package.
"""
