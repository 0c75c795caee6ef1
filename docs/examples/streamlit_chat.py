"""A chat page with Streamlit: `pip install streamlit openai`, `edgellm serve`, `streamlit run streamlit_chat.py`."""

import os

import streamlit as st
from openai import OpenAI

client = OpenAI(
    base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:11434/v1"),
    api_key=os.environ.get("OPENAI_API_KEY", "none"),
)
model = os.environ.get("MODEL") or st.selectbox("Model", [card.id for card in client.models.list()])
turns = st.session_state.setdefault("turns", [])
for turn in turns:
    st.chat_message(turn["role"]).write(turn["content"])

if message := st.chat_input("Your message"):
    turns.append({"role": "user", "content": message})
    st.chat_message("user").write(message)
    longer = {"overflow": "truncate"}  # a conversation beyond the context goes on without its oldest words
    stream = client.chat.completions.create(model=model or "", messages=turns, stream=True, extra_body=longer)
    answer = st.chat_message("assistant").write_stream(stream)
    turns.append({"role": "assistant", "content": answer})
